// Package outbox is the queue between the broker's acknowledgement and the
// platform's: what the broker has been told is kept, is kept here until the
// platform has it.
//
// Order: sequence numbers grow by one per record over all Things, in the order
// of Append; Peek gives a Thing's records in that order. Loss: Disk calls
// kept(nil) when the records are on disk, so nothing that was acknowledged is
// lost by kill -9, and by a power cut only if the disk lies about fsync; Memory calls it
// when the platform has them, and see below for what it acknowledges early. Both
// drop, and count by reason, what is over MaxBytes ("full", "folded") or MaxAge
// ("expired"); dropping counts as kept. Removals need not be on disk: after a kill
// up to some tenths of a second of them are there again and go to the platform
// twice. Blocking: Append to Disk blocks for five seconds at most, only while
// 16 MiB wait for the disk; nothing else blocks but Close and what Peek reads from disk.
// Goroutines: one committer for Disk, started when there is something to write
// and gone when there is not, and timers; Close waits for it. kept and OnDrop are called
// without locks: kept by the committer, by whoever calls Done, or by Append itself.
//
// # The disk mode
//
// One bbolt file. A record's key is its sequence number, so appending touches
// the last page only. Everything appended and removed while the former
// transaction was being written goes into the next one: the more that comes, the
// more share an fsync. The newest records (32 MiB) are in RAM as well, so a bridge that
// keeps up never reads from disk. A record that is done before it was written is not
// written at all.
//
// RAM: 18 bytes for each record in the outbox (45 when folding), measured with a
// million of them, for the order of each Thing's records. Disk: MaxBytes counts
// 64 bytes for each record beside its data and names; the file comes to 1.1 times
// that, and 1.5 times when half of all records go early and half stay. It does not
// shrink by itself; opening compacts one of more than 32 MiB that is four times what it holds.
//
// Why bbolt: on two shared cores (virtio disk, fsync 0.1 to 0.6 ms), records of 200 bytes, it
// takes 320,000 records a second from a broker with 1,000 messages in flight,
// each appended and removed by itself, with a million others waiting or none;
// when every append waits for its own fsync, 1,500 a second singly, 11,000 in tens, 90,000
// in hundreds, 250,000 in thousands; a backlog on disk drains with 1.1 million
// records a second, and a file is checked and opened with 2.6 million. A log of segments
// of our own was 3 to 5 times faster at small batches and no safer (both bore every
// kill -9); the broker and the WebSocket are slower than either, so the tried library won.
// The figures come from the package's benchmarks.
//
// A torn write is the end of a transaction that was not reported: bbolt ignores
// it. Each record has a checksum, and opening reads all of them; a file that is
// damaged is refused, named and left as it is (*boltfile.DamagedError). While the
// disk refuses writes (full, read-only, broken), records stay in RAM and
// unacknowledged, go on to the platform, and are tried again after 250 ms to 5 s; removals
// first, because they make room. Err and Status tell. When 16 MiB wait, Append refuses:
// the message must then stay unacknowledged, and because later ones may be kept,
// the broker connection should be made anew so that they come in order.
//
// # The memory mode
//
// Nothing survives a restart but what the broker still holds: a message is
// acknowledged when the platform has all its values. Two bounds keep that from
// stopping the broker. Beyond HoldMax messages the oldest are acknowledged and
// kept in RAM; so is, within a second, what has waited over five seconds for a Thing that is not
// bound (the platform is away, does not know the Thing, or did not take its last
// values): one Thing's trouble must not use up what the broker sends unacknowledged. A kill loses those.
package outbox
