// Package store keeps a bridge's data directory: its lock, its format number,
// the registry of Things, the writes promised to sleeping devices, and the place of the outbox's file.
//
// Order: changes of one Thing take effect in the order of the calls; Load gives
// what the calls before it left, written or not. Loss: Save and Delete return
// before their change is on disk; a kill loses at most those of the last 50
// milliseconds and the fsync after them, never a part of a batch. SaveFilters
// and Sync wait for the disk. Blocking: Save and Delete never wait for the disk;
// Load reads the file under the lock that they need, so it may hold them up for
// its reading. Goroutines: one writer, started by the first change and gone when
// all is written; Close waits for it.
//
// # The directory
//
//	lock         flock'ed while a bridge runs; holds its process id
//	format       "thingbridge data directory, format 1"
//	registry.db  bbolt: buckets things (name, saved form), state, writes (number, promised
//	             write; a file of before gets it when it is opened), meta (format)
//	outbox.db    the outbox's file, see package outbox
//
// It is made with mode 0700, its files with 0600. New files appear under their
// names only when they are whole.
//
// # When something is wrong
//
// Open changes nothing and says what to do when the directory is used by another
// process (*LockedError), was written by a newer program (*boltfile.FormatError), holds a
// file that cannot be understood (*boltfile.DamagedError), is on a read-only file system,
// may not be written to, or the disk is full. A disk that becomes full later
// costs nothing at first: changes stay in RAM, one for each Thing at most, and
// are tried again, at most every five seconds; Err tells.
package store
