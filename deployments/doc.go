// Package deployments holds how the bridge is installed: image, compose file,
// Debian package, systemd unit and Kubernetes manifests, and their tests, which
// build and run them as far as the machine goes. Order: its tests run one after
// the other. Loss: nothing is kept; what a test made it removes. Blocking: a test
// waits at most for its patience.
package deployments
