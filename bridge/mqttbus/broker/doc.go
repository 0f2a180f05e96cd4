// Package broker is an MQTT broker in the process, for the demo and for tests.
// It is not meant to carry a plant: nothing survives its end.
//
// Order: messages of one publisher reach one subscriber in order. Loss: all
// state is in memory; messages for a subscriber that does not read are dropped
// beyond Options.QueuePerClient, those for an absent persistent session beyond
// Options.InFlight, and the session itself after Options.SessionExpiry; Dropped
// counts. Blocking: a slow client delays no other. Goroutines: Start starts
// them, Close ends the listener and every connection; Run does both.
package broker
