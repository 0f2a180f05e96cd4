// Package simulator is a ThingWorx platform to talk to when there is none: the
// server side of AlwaysOn with the platform's REST in front of it.
//
// Order. Messages of one edge connection are handled one after the other, in
// the order they came, on that connection's reader; what they store is visible
// before their answer is sent. What is sent on one connection leaves in the
// order in which it was handed over. A BIND is answered first; synchronisation
// of its Things follows, at most syncWindow Things at a time.
//
// Loss. Everything is in memory. Histories, the push log and the event log are
// rings: when one is full its oldest entry goes, which is counted. A pushed
// value is dropped and counted when the edge has not asked for the Thing's
// subscriptions on this connection, when no property is bound to its name, when
// it is null, or when it does not fit the property's base type. Names of a
// connection that ended without CLOSE stay bound for Options.HoldDead.
//
// Blocking. A reader never waits for a writer: what is sent is appended to the
// connection's buffer, and a connection whose buffer passes outLimit is closed.
// Calls that go on to an edge do not occupy the caller's reader: the answer, or
// GATEWAY_TIMEOUT after Options.AnswerLimit, comes through a callback. Only a
// REST request waits on its own goroutine.
//
// Goroutines. New starts none. Run starts the HTTP server and returns when its
// context ends: the listener closes, every edge gets a CLOSE with code 1001 and
// closeWait to answer it, and Run returns once all readers and writers have
// ended. Each edge connection has two goroutines, reader and writer.
//
// Locks. Platform.mu guards the tables of entities and endpoints, thing.mu one
// Thing; Platform.mu is taken first. Nothing is sent, called back or logged
// under either.
//
// # What it stands for
//
// Facts that nobody has seen on a live platform are choices here, and options
// where both ways are plausible: Options.Sync, Options.BindRefusal and
// Options.HoldDead. Other choices:
//
//   - A read of a property gives the stored value. It goes to the edge when no
//     value is known yet, or when the binding's cacheTime (milliseconds; 0: always,
//     below 0: never) has passed, and the Thing is bound.
//   - A write to a remotely bound property goes to the edge as a PUT and is
//     stored when the edge pushes the value back. The edge that bound the Thing
//     writes the stored value itself.
//   - A service that is not one of the platform's own goes to the edge that bound
//     the Thing, declared or not, whoever asks.
//   - A Thing made with CreateThing or CloneThing is disabled until EnableThing.
//     A bound name with no enabled remote Thing behind it is accepted and listed
//     as unclaimed; it is claimed when the Thing is enabled or restarted, but where
//     there was no Thing at all (or it was deleted), only when it is bound again.
//   - An invented Thing takes its definitions from GetMetadata at each BIND. When
//     that fails it keeps those it has, and the edge is notified all the same. A
//     property that is no longer described keeps its binding.
//   - A refused BIND is FORBIDDEN. What exists already is INTERNAL_SERVER_ERROR
//     with "already exists" in the reason.
//   - NaN and infinity, which JSON cannot write, are null in REST.
//   - POST /Thingworx/Importer takes an entity export (XML in a form) and reads
//     ThingTemplates, DataShapes and Things with their properties, services,
//     events and remote bindings.
//   - A search expression matches a whole name without case; * and % stand for any text.
//   - The appKey header is wanted for all of /Thingworx except the upgrade itself:
//     401 without one, 403 with a wrong one.
//   - /simulator/… asks for no key: it is a test surface, meant for loopback.
package simulator
