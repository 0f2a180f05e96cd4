// Package mqttbus is the bridge's MQTT 3.1.1 side: it implements bridge.Bus and
// is the only importer of the MQTT library in the bridge proper.
//
// # Order
//
// Messages reach BusEvents.Message one by one, in the order in which the broker
// sent them. Publications are sent in the order of Publish; those that the
// broker had not confirmed when a connection failed are sent again first, in
// the same order, on the next.
//
// # Loss
//
// A message received at QoS 1 is acknowledged to the broker only by its Ack. An
// Ack that comes after its connection has gone does nothing: the broker delivers
// the message again, with Dup set. What was received and not yet handed over
// when a connection fails is handed over all the same, so that nothing depends
// on the broker having kept the session. Lost, and counted by reason, are: live
// QoS 0 messages while the inbox is full, messages over the payload limit, and
// messages whose topic is not one. A publication ends exactly once: confirmed,
// expired, refused because the queue is full, or given up when the bus stops.
//
// # Blocking
//
// Subscribe, Unsubscribe, Publish and Ack never block. BusEvents.Message may
// block: the inbox then fills, and when it is full the connection is read no
// further than the next message, so that TCP holds the broker back. Pings go on
// meanwhile, and silence of the broker is only counted while we read, so that a
// slow bridge is not taken for a dead broker. Nothing in here waits for a
// subscription's acknowledgement on a path that messages need.
//
// # Connections
//
// One session is two connections to the same broker. The inbound one has the
// client id and a kept session; it publishes nothing. The outbound one has the
// client id with "-out", a clean session and the will; it subscribes nothing.
// Options.States add one connection each, clean, with a will of its own, which
// subscribes its own topic alone and speaks once all filters are subscribed.
// The session dies of the first error of any, all are torn down without an
// MQTT DISCONNECT (the broker then sends the will), and the next session is
// made with back-off and, where there are several brokers, on the next one.
//
// # Goroutines and the end
//
// Run owns everything; New starts nothing. When Run's context ends: no message
// is handed over any more, publications are refused, those that wait get up to
// Options.StopTimeout, the will is published in words, acknowledgements
// that are due are written, both connections say DISCONNECT, and each
// publication that is left ends with bridge.ErrBusDown. Run returns when all its
// goroutines have ended.
package mqttbus
