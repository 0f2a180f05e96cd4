// Package sparkplug knows the Sparkplug B payload and what a host application
// does with it. It registers with package mapping the format, the decoder and the
// session that are called sparkplug-b, and the function sparkplugCommand.
//
// # Order, loss, blocking
//
// The session numbers each edge node's messages and gives them on in their order.
// A message that comes ahead of others waits for them up to the Reorder Timeout,
// then goes on without, and the node is asked for its births. What cannot be
// understood is refused with a reason: a metric known by an alias that no birth
// of this connection gave, for one. Nothing here blocks, does I/O or starts a
// goroutine; the session belongs to the goroutine that calls it.
//
// # The payload
//
//	1 timestamp   2 metrics   3 seq   4 uuid   5 body
//
// and of a metric
//
//	1 name        2 alias     3 timestamp     4 datatype   5 is_historical
//	6 is_transient 7 is_null  8 metadata      9 properties
//	value: 10 int (32 bits)  11 long (64 bits)  12 float  13 double  14 boolean
//	       15 string         16 bytes           17 dataset  18 template
//
// Negative integers travel as two's complement in the unsigned fields. A 32-bit
// float is read as the shortest decimal that it is. Payloads that are packed
// (uuid SPBV1.0_COMPRESSED) are unpacked, up to the payload limit.
//
// # What the session gives to the rules
//
// A birth becomes two messages: on its own topic the definitions alone, without
// values, times and numbers, so that a birth which says nothing new is an
// announcement that says nothing new; and on the topic of data the values. In
// data every metric has the property's name for its name, its data type and its
// time: such a message means the same whenever it is looked at. A death of a node
// is followed by a death for each of its devices.
//
// # What is remembered
//
// Of each node its numbers and its metrics' names, types and aliases; of nodes
// that are not known, when they were asked for their births. All of it is bounded
// (see the limits in session.go). Over a restart only the definitions are kept,
// with the Things: numbers and aliases are not known then, so each node is asked
// for its births when the broker is connected.
package sparkplug
