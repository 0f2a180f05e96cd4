// Package mapping turns what devices say over MQTT into what the platform
// understands, and back. It holds the profile language and the Engine that runs
// it; device families are data (package presets), and so is native.
//
// # Order, loss, blocking, goroutines
//
// Handle gives effects in the order of the rules, and values in the order in
// which they stand in the message (by name where an expression made the
// object). Nothing is lost silently: what cannot be used is a *Rejected with a
// reason, what is of a device that has not announced itself is an *Unclaimed.
// Nothing here does I/O, waits, or starts a goroutine; a message costs a bounded
// amount of time and memory. An Engine is guarded by one read-write mutex, never
// held while foreign code runs but Decoders, Formats and registered functions,
// which must be pure.
//
// Call Handle from one goroutine, and Put or refuse each Announced before the
// next Handle: several messages that make one device are merged with what was
// Put.
//
// # How a message finds its Thing
//
// A rule says it by the first of these that holds:
//   - The profile's thing template can be computed from the topic's levels and
//     the parameters. This works before the announcement too; values of a Thing
//     that is not Put are Unclaimed with its name, presence is told at once.
//   - The pattern has level names in common with an announcement's levels or
//     with names that let remembers. An index by these values finds the devices;
//     a pattern such as {friendly...} thus needs no subscription of its own for
//     each device.
//   - The pattern holds ${device.x}: it is subscribed for each device.
//   - all: true in presence: all devices of the profile. A fail rule without any
//     of these is for each device for which its error has a value.
//
// A Thing belongs to the profile and the topics that announced it, and to the
// text from which its name was made: a topic that leads to the same name from
// another text, another profile or another source is refused (ReasonIdentity,
// ClashError). Two announce rules, a rule with `merge: true`, or a decoder make
// one device of several topics; else one announce rule hears each device on one
// topic. What define yields for each of them is joined member by member before
// it is read, so that one message may tell a property's type and another its unit.
//
// # Sessions
//
// Some protocols number their messages, or give names to what later messages know
// by a number alone. For these a Session stands in front of the rules: it takes
// every message that its profiles listen to and gives, in order, the messages that
// the rules are to see, each of which means the same whenever it is looked at.
// Engine.Sessions makes them; they belong to the goroutine that calls Handle. The
// profiles of one preset share one. The Engine's own methods know nothing of
// sessions.
//
// # The language
//
// The words are those of the product's documentation. What they left open, or
// native needed, is settled thus:
//   - An announcement with an empty payload takes back what its topic announced;
//     `empty: ignore` turns that off. When other topics announced the device
//     too, it is announced anew without that part. A message for which `when` is
//     not true is no announcement and takes nothing back.
//   - announce takes `gather: 500ms`: several messages that are retained make one
//     device together, which is announced once none has come for that time (and
//     at the latest after ten times as long). The topic's levels must name the Thing. It
//     costs one look at each message, and one at all of them at the end.
//   - With `each`, the expressions see the item and not the payload, because
//     only the item is kept. A list with an item that has no name is not
//     complete: nothing is missed for it. A list is a gateway's word, so it
//     never brings a device back online.
//   - Levels are names of their own; what let remembers is device.NAME.
//   - {name} may have text around it within its level: switch:{n}.
//   - presence takes `hold`, `asleep` (what is sent to the device waits while it is
//     true, for `queue`), `decides: true` (the device is offline until this rule has said
//     otherwise, and no announcement changes that), `along` (whether an
//     offline takes along the Things whose parent this is; else it does), and an
//     entry {parent: expression}. Rules with the same
//     `group` speak together: `need: all` (the default) is offline while one of them
//     says so, any while all do, latest as the last of them says; of several groups
//     the device is offline while all are. Of online and
//     offline one alone says both; without either they are the texts online and
//     offline. When both or neither is true the message says nothing.
//   - properties take `each` (with item), and `wrapper: true`: an object
//     {"values": {…}, "time": …, "quality": …} with no other key is taken apart.
//   - writes, reads and services take one way or a list of ways with `confirm:
//     sent|echo|reply`; the way is taken that confirms as the property's
//     definition wants. An exact name goes before "Power{n}", that before "*".
//     Without a payload a write sends ${toJSON(value)}, a service
//     ${toJSON(inputs)}. `request` may be a list: all are sent.
//   - What is sent takes `format: cbor` or `msgpack`: the value of the payload's one
//     expression, or its JSON, is encoded so; without a payload the value or the inputs.
//   - A definition's `step` rounds what is written to the nearest min (or max, or
//     0) + n × step, before min and max are looked at.
//   - reply beside `confirm: echo` in a write: whichever comes first.
//   - Of a when that looks at device, the members joined by and that do not are
//     tried on devices that have not announced themselves.
//   - A level of a reply's topic that is named service, property, or like a part
//     of the name must be the call's own.
//   - fail stands beside reply or confirm: echo.
//   - reply takes `expect`: an answer for which it is not true is 0xA2 (no
//     reply at all); `error` yields nil (none), text, or {code, message}.
//   - platform: {topic, inputs, reply} is a device's way up; the topic has the
//     levels {service} and {request}.
//   - define yields the shape of native's announcement. Only in a profile with
//     allow_topics may it also hold topic, value, write, read (in a property),
//     request, reply, fail, finally (in a service), presence, leave, writes, reads, ask,
//     parent, expire_after and queue. Topics there are literal, hold no
//     wildcard, lie under allow_topics, and are never ones that another profile or
//     another device hears or is sent to; a shared presence topic may be.
//   - properties take `history` (an expression: the values are of the past, the
//     present ones stay) and `absent: keep` (no value keeps the last one, with the
//     quality that quality says). A property's `single: true` has written numbers
//     rounded to 32 bits. What is sent takes `qos: 0` and `retain: true`.
//   - properties take `from` (an expression) beside a computed name: what the name is
//     made of. A name belongs to what made it first, as long as the Thing stands.
//   - writes, reads and services take `finally`, one message or a list: sent once a
//     call that was sent has ended (Call.Finally), and once more for an answer that no
//     call waits for (Reply.Late). Its templates see the levels of the reply's
//     topic and request, not inputs and value. With `begun` (an expression) in reply, of a
//     message that shows the device at it, only the answer, however late, brings it on.
//   - A service's `open: true` takes inputs that are not declared as they are; `declared:
//     true` beside "*" answers 404 for services that the device does not declare.
//   - `merge: false` with a decoder: each topic makes a device of its own.
//   - state: {topic, when, online, offline, again} is what the bridge says of
//     itself to the devices of the profile, retained, with a will of the same
//     moment (now); again is an expression on what somebody else says there: when it
//     is true the bridge says once more that it is there.
//   - session: NAME puts a Session in front of the rules.
//   - expire_after and queue may be "=expression": seconds, or text such as 5m.
//   - A preset is one profile or a list of them. Beside preset: may stand name,
//     with, thing, template, description, expire_after, queue, allow_topics.
//   - In YAML a " #" begins a comment: quote expressions that hold one.
//
// # Expressions
//
// Expressions are expr-lang's, compiled once, cached by text, without clock,
// files or environment. A plain path (payload.a.b) is read from the JSON without
// decoding the rest, with the same result. Numbers are int when they are whole
// and fit 64 bits, else float64; of equal keys the first counts. What differs
// from the library:
//   - A member of anything that has none is nil; so is arithmetic with nil. nil
//     is neither less nor greater than anything, and false where a truth value
//     is wanted.
//   - now is the time in milliseconds, a variable; there are no date, duration
//     and timezone.
//   - Closures nest at most once (found at load); a list in a closure has at
//     most 10,000 items, and all closures of one evaluation visit at most a
//     million; the library's memory budget stands; joined text ends at 1 MiB.
//   - Functions of our own: toJSON(x) compact; fromJSON(text); flatten(object,
//     separator), with a number as third argument also through lists, whose items
//     count from it, or flatten(list); merge(object, …); number(text) or nil;
//     roundTo(x, digits); hex(bytes or int), fromHex(text), fromBase64(text);
//     parseTime(text[, layout]) in ms, formatTime(ms[, layout]); read(bytes,
//     offset, "u16be") with u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 and be or le;
//     readText(bytes, offset, length); pack("u16be", x, …) makes bytes, with read's
//     types and "bytes"; toBase64(bytes or text); thingName(text); literal(text), which
//     keeps ${ in it from being an expression.
//
// keys, values and toPairs give an object's members in the order of their names. The
// library's own builtins (lower, upper, split, filter, map, fromPairs, …) are
// there; get is not, as x.y is tolerant already.
//
// # Payloads
//
// auto is JSON if it is valid, else UTF-8 text; json; text; number; cbor;
// msgpack; raw (bytes for read). JSON nests at most 64 deep, its lists and
// objects hold at most 10,000 members. gzip and deflate are unpacked up to
// the payload limit. Further formats and decoders register themselves by
// RegisterFormat, RegisterDecoder and RegisterDeviceDecoder.
//
// # Types
//
// A declared type converts or refuses (Convert). What is not declared is
// inferred (Infer) and keeps its first type until the Thing is Put with another
// announcement; the number of such properties counts against the limit of
// definitions. A number sent where text is declared keeps the digits it was
// sent with when the value is the whole payload. A time more than five minutes
// ahead or before 2000 becomes the time of receipt with quality
// UNVERIFIED_SOURCE.
//
// # Cost
//
// Static patterns stand in one trie, those of devices in another: the cost of a
// message grows with the rules that hear it and not with those that are there.
// Equal definitions are shared; an idle native device costs under 1 KiB beside
// its announcement.
package mapping
