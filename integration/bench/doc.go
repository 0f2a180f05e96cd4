// Command bench measures what thingbridge adds to the broker and the platform
// connection: calls, values, cold starts, memory and processor time, in one
// table, each beside a limit that was measured in the same run.
//
// The broker is a real Mosquitto, the bridge is the built program, and the
// simulated platform is the program's own; each is a process of its own on
// loopback. Devices and load are here, on a small MQTT writer of its own
// (wire.go) that costs little, so that what is measured is not the load. For
// calls the platform runs in this process, so that a call starts without REST.
//
// Order: rounds go one after the other, and within a round a limit is measured
// right beside what it limits; calls of both ways take turns. Loss: QoS 0 load stays less than the bridge's inbox
// ahead of what the platform has acknowledged; what is lost all the same ends the
// measurement with its number. Blocking: each loop is bounded in count and in time.
// Goroutines and processes: every process started is ended by its process id,
// also when a measurement fails, and dies with this one.
package main
