// Package integration shows from outside what the built program does: the
// binary runs as its own process against a real Mosquitto, the platform is the
// binary's own simulator in another process, and the devices are MQTT clients.
//
// Order and loss: TestChaos publishes numbered values while processes are
// killed and connections cut, and counts at the end what is missing, late or
// double at the platform. Blocking: every wait has a time limit. Goroutines and
// processes: each test ends what it started, by its process id.
//
// The broker is a container where Docker answers: an image made from nothing but
// the mosquitto of this machine and its libraries where there is one, else the
// public image eclipse-mosquitto, or the one that INTEGRATION_MOSQUITTO_IMAGE names.
// Without Docker it is the mosquitto in PATH, as a child process. Without either the tests
// are skipped. REQUIRE_DOCKER=1 makes it a failure when Docker does not answer;
// INTEGRATION_BROKER=process takes the child process at once.
//
// INTEGRATION_RACE=1 builds the program with the race detector.
// TestChaos kills the bridge 5 times, with CHAOS=1 100 times, or CHAOS_KILLS
// times; CHAOS_SEED repeats a run's random numbers, as far as processes obey them.
package integration
