// Package bridge joins devices on MQTT with Things on the platform: registry,
// life cycle, service relay, property flow and events. It knows no MQTT and no
// WebSocket library; the interfaces it needs stand in ports.go.
//
// Order: messages are worked off one by one, in the order in which the Bus hands
// them over. Values and events of one Thing reach the platform in that order,
// one push at a time; different Things go in parallel. Messages that came before
// their Thing's announcement are looked at again in their place in the order.
//
// Loss: a QoS 1 message is acknowledged only after everything that it means is
// kept: values and events by the Outbox, announcements and presence by the
// Store. A push that fails for the connection or for time is made again from the
// same records, so the platform may get a value twice and never not at all; a
// value that the platform refuses for what it is, is found by halving the push,
// dropped and counted. What has no subscription, stays below a threshold, or is
// retained and unchanged, is counted and not pushed. A write to a device that sleeps is
// answered once the Store has it (a promise), and leaves the Store when it was sent and
// confirmed, or is dropped and counted; a kill in between has it made twice. Replies that answer no call are
// counted and ignored.
//
// Blocking: Message blocks only while the Outbox's Append does. The platform's
// events and all queries take short locks. A service call, write or read ends
// exactly once and within its time; no goroutine waits for it.
//
// # Who owns what
//
//   - The bus's goroutine runs Message: the Engine's rules, the registry, the
//     Outbox's Append. It alone gives the Engine live messages.
//   - The keeper's goroutine closes the gap between intent and reality: it alone
//     calls Platform.Want, Unwant and Rebind and changes the Bus's filters, and
//     it runs every timer, call time-outs included.
//   - The scheduler's goroutine owns each Thing's push filters and its place in
//     the Outbox: it alone reads records and starts pushes. Answers are put
//     into a list for it.
//   - The saver's goroutine alone writes to the Store, promises included; it answers
//     their callers. Ordinary writes have nothing to do with it.
//   - The platform's goroutine runs the PlatformEvents: they change tables and
//     wake the others.
//
// Protocols whose messages are numbered have a mapping.Session, which stands before
// the Engine's rules and is the bus's goroutine's too: its timers, and what it must
// know of the connection, come to that goroutine by Bus.Between, in their place
// among the messages. What it keeps back for a while was acknowledged when it came.
//
// Locks, in the order in which they may be taken: Bridge.work (one message is
// worked off, or the rules change), Bridge.life (the registry and
// the Engine change together), Bridge.mu (the registry), scheduler.mu, and the
// small tables' own. The Bus's Publish and Refresh and Message.Ack, which never block and never
// call back, are the only foreign calls that may be made under life, none under the others.
//
// A property that nothing declares is inferred from its first value. The Thing
// is then bound once more, at most once a minute, so that a platform that browses what is
// bound finds it; once it has a binding, its last known value is pushed.
//
// # Other options while it works
//
// Reload puts an Engine of other profiles, and other limits and permissions, in
// the place of those in use. It runs on its caller's goroutine, in two steps. First,
// while messages go on, every device is made anew for the next Engine from the
// announcements that made it. Then, with work held, so between two messages: what
// changed meanwhile is made anew, inferred types and what presence groups said are
// taken over, the Engines change places, and messages go on. Nothing is read twice
// and nothing is left out: each message is worked off by one Engine, values in their
// order; what waits in the outbox is values already, or raw messages, which go by
// the rules that stand when it is their turn.
//
//   - A Thing whose device and definitions are the same is not touched: no BIND, no
//     UNBIND, its gate stays open. It does not matter which profile makes it.
//   - One whose definitions differ is rebound once. One whose device has another
//     Thing name leaves, and the device is announced under the new one; its
//     presence goes with it. One that no profile announces leaves as one whose device
//     has left, after its queued values. So does one that is not allowed any more.
//   - Calls in flight keep the rules that made them: RouteIDs of profiles that stay are
//     the same in both Engines, and for the others each message is shown to the former
//     Engine too, whose replies come first, until its calls have ended (formers). What
//     only it listens to is unsubscribed then, after everything new is subscribed.
//   - What is retained under the filters of new and changed profiles is asked for
//     again (Refresher): announcements that say nothing new change nothing. Until the
//     marker is back, new Things wait for a retained offline as at the start.
//   - Sessions of profiles and limits that stay go on. The others give out what they
//     keep back before the Engines change places; the new ones know nothing yet.
//   - Announcements and messages that wait are given to the new rules. Promised writes
//     are values until their device is there; those that do not fit any more are dropped.
//
// # Topics that devices share
//
// What the broker retains on a topic comes when it is subscribed, so before later
// devices are known that hear it too. The Engine's Put names such filters (Change.Refresh),
// and the keeper has the Bus subscribe them once more, at most five times a second for
// all that came meanwhile (missed). Devices that heard it already hear it again, as
// after a new connection.
//
// # Who watches
//
// Bridge.Trace shows messages and what becomes of them. While nobody does, that
// costs one look at an atomic number for a message and one for a push. A Trace
// never makes anything wait: what its reader does not take is counted and lost.
//
// # The end
//
// Run stops in this order: messages are no longer taken, and stay
// unacknowledged; requests are answered 503; no new push starts; calls and pushes in
// flight have Options.StopTimeout to end, then the calls are answered 503 and the pushed
// records stay in the Outbox; the registry is saved; Run returns. Bus and Platform
// must run until then. Unbinding is the Platform's own last deed, closing files
// their owner's.
package bridge
