// Package console is the bridge's own HTTP side: probes, metrics and the admin
// API. It shows and asks; it keeps no state of its own.
//
// Order: requests are independent of each other. Loss: none; a request that
// cannot be served now is answered 503. Blocking: each request has a time limit
// and a size limit, and Source is asked on the request's goroutine. Goroutines:
// Run starts the server and returns when it has ended; open requests get
// Options.StopTimeout.
//
// # Who may do what
//
// /healthz and /readyz are open to everybody. /metrics is, if MetricsPublic is
// set. Everything else needs the token (Authorization: Bearer) or the user name
// and password, where one of them is set. Where none is, only a loopback address
// is listened on. Go's profiles are there only if Pprof is set. No GET changes
// anything; a POST must be JSON and must not come from another site's page; there
// are no cookies. The Host header must be one of ours, so that a foreign page cannot reach a loopback console through a
// name of its own; who brings the token is spared that.
package console
