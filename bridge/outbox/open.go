package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"thingbridge/bridge"
	"thingbridge/bridge/store/boltfile"
)

// bucketRecords holds the records, by sequence number.
const bucketRecords = "records"

var fileKind = boltfile.Kind{
	Buckets: []string{bucketRecords},
	Format:  1,
	Lost:    "the values in it that the platform has not got yet are then lost",
	Check: func(_ string, key, value []byte) error {
		_, err := parseRecord(key, value)
		return err
	},
}

const (
	compactFrom    = 32 << 20 // files smaller than this are not compacted
	compactRatio   = 4        // when they are this many times what they hold
	compactTxBytes = 4 << 20
)

// OpenDisk opens the outbox in the file at path, makes it if there is none, and
// reads what it holds: every record is checked. A file that has become much
// larger than what it holds is compacted. Errors are a *boltfile.DamagedError, a
// *boltfile.FormatError, one that wraps boltfile.ErrLocked, or one of the file
// system's; none changes the file.
func OpenDisk(path string, opt Options) (*Disk, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	db, err := fileKind.Open(path)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	d := &Disk{
		path: path, db: db, core: newCore(opt), meter: newMeter(),
		cache:   make(map[uint64]*item),
		room:    make(chan struct{}),
		closing: make(chan struct{}),
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := d.compact(); err != nil {
		return nil, err
	}
	if err := d.meter.register(opt.Registerer, d.Status); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	d.trimOnOpen()
	return d, nil
}

// trimOnOpen applies the bounds to what the file held.
func (d *Disk) trimOnOpen() {
	var dropped drops
	d.mu.Lock()
	d.trim(&dropped, d.removedLocked)
	if d.opt.MaxAge > 0 {
		d.expire(time.Now(), &dropped, d.removedLocked)
	}
	d.armExpiryLocked()
	d.startLocked()
	d.mu.Unlock()
	dropped.report(d.opt.OnDrop)
}

// load builds the index from the file.
func (d *Disk) load() error {
	now := time.Now()
	return fileKind.Guard(d.path, func() error {
		return d.db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket([]byte(bucketRecords))
			err := records.ForEach(func(k, v []byte) error {
				r, err := parseRecord(k, v)
				if err != nil {
					return fileKind.Damaged(d.path, err)
				}
				at := time.UnixMilli(r.Time)
				if r.Time == 0 || at.After(now) {
					at = now
				}
				d.ix.push(r.Thing, r.Key, r.Seq, recordSize(r.Thing, r.Key, r.Data), at)
				d.lastSeq = r.Seq
				return nil
			})
			d.lastSeq = max(d.lastSeq, records.Sequence())
			return err
		})
	})
}

// compact writes the file anew when it has become much larger than what it holds.
// Without the room for that, the file stays as it is.
func (d *Disk) compact() error {
	size := fileSize(d.path)
	if size < compactFrom || size < compactRatio*d.ix.bytes {
		return nil
	}
	fresh := d.path + ".new"
	err := errors.Join(boltfile.RemoveIfThere(fresh), d.copyTo(fresh))
	if err != nil {
		d.opt.Logger.Warn("outbox file stays larger than needed", slog.String("file", d.path),
			slog.Int64("size", size), slog.Any("error", errors.Join(err, boltfile.RemoveIfThere(fresh))))
		return nil
	}
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("compact outbox %s: %w", d.path, err)
	}
	if err := boltfile.MoveOver(fresh, d.path); err != nil {
		return fmt.Errorf("compact outbox %s: %w", d.path, err)
	}
	d.db, err = fileKind.Open(d.path)
	return err
}

func (d *Disk) copyTo(path string) error {
	return fileKind.Guard(d.path, func() error {
		to, err := fileKind.OpenRaw(path)
		if err != nil {
			return err
		}
		return errors.Join(bolt.Compact(to, d.db, compactTxBytes), to.Close())
	})
}

// readMissing reads the records that have a Seq alone. Those that were removed
// meanwhile are left out.
func (d *Disk) readMissing(recs []bridge.Record) ([]bridge.Record, error) {
	found := recs[:0]
	err := fileKind.Guard(d.path, func() error {
		return d.db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket([]byte(bucketRecords))
			for _, r := range recs {
				if r.Thing == "" && r.Data == nil {
					k := seqKey(r.Seq)
					v := records.Get(k[:])
					if v == nil {
						continue
					}
					var err error
					if r, err = parseRecord(k[:], append([]byte(nil), v...)); err != nil {
						return fileKind.Damaged(d.path, err)
					}
				}
				found = append(found, r)
			}
			return nil
		})
	})
	return found, err
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
