// Package devicesim simulates MQTT devices for the demo, for tests and for load.
//
// Order: what one device publishes is sent in order, on one connection. Loss:
// simulated devices are devices, what they say while their broker is away is
// gone, and a request that finds more than Options.Waiting others waiting is
// dropped; only Load repeats what the broker did not acknowledge, and records
// what it did. Blocking: a slow broker slows the devices of its connection.
// Goroutines: Run starts one for each connection and ends them all.
//
// A family is a file: it registers itself in families by name and makes
// devices, which are plain state machines without goroutines or network.
package devicesim
