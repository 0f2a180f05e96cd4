package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"thingbridge/bridge/store/boltfile"
)

// trouble is the present episode of writes that fail.
type trouble struct {
	err      error
	since    time.Time
	failures int
	batch    int64 // bytes to try in one transaction; 0: batchBytes
	delsLast bool  // the last attempt was for removals alone
}

// batch is what one transaction writes.
type batch struct {
	groups []*group
	items  []*item // of groups, without those that are gone
	size   int     // bytes of items, encoded
	dels   []uint64
}

// startLocked sees to it that what there is to write will be written: appends
// at once, removals alone a little later.
func (d *Disk) startLocked() {
	switch {
	case d.committing || d.closed:
	case len(d.waiting) > 0 || len(d.dels) >= flushMany:
		d.startCommitterLocked()
	case len(d.dels) > 0 && d.flushing == nil:
		d.flushing = time.AfterFunc(flushDelay, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.flushing = nil
			if !d.closed {
				d.startCommitterLocked()
			}
		})
	}
}

func (d *Disk) startCommitterLocked() {
	if d.committing {
		return
	}
	d.committing = true
	d.workers.Add(1)
	go d.commit()
}

// commit is the committer: it writes until nothing is left. While it writes,
// the next batch gathers.
func (d *Disk) commit() {
	defer d.workers.Done()
	for {
		d.mu.Lock()
		settled := d.settleLocked()
		b := d.takeLocked()
		if b == nil {
			d.committing = false
		}
		d.mu.Unlock()
		settle(settled, nil)
		if b == nil {
			return
		}
		if err := d.write(b); err != nil {
			if !d.failed(b, err) {
				return
			}
			continue
		}
		d.succeeded(b)
	}
}

func settle(groups []*group, err error) {
	for _, g := range groups {
		g.kept(err)
	}
}

// settleLocked takes out the groups of which nothing is left to write. While
// removals wait for the disk they go with these: were they acknowledged before,
// a kill would bring an older record back that nothing newer follows, and the
// platform would be left with the older value. A disk that does not write is no
// reason to hold back what the platform has.
func (d *Disk) settleLocked() (settled []*group) {
	if len(d.dels) > 0 && d.trouble.err == nil {
		return nil
	}
	d.waiting = slices.DeleteFunc(d.waiting, func(g *group) bool {
		if g.left > 0 {
			return false
		}
		settled = append(settled, g)
		d.waitBytes -= g.bytes
		return true
	})
	if settled != nil {
		d.makeRoomLocked()
	}
	return settled
}

func (d *Disk) makeRoomLocked() {
	close(d.room)
	d.room = make(chan struct{})
}

// takeLocked cuts the next batch; nil: there is nothing to write. During
// trouble removals are tried alone in turn with appends, because they may make the
// room that the appends lack, and appends in ever smaller batches.
func (d *Disk) takeLocked() *batch {
	if len(d.waiting) == 0 && len(d.dels) == 0 {
		return nil
	}
	b, limit := &batch{}, int64(batchBytes)
	inTrouble := d.trouble.err != nil
	if inTrouble {
		limit = d.trouble.batch
	}
	if !inTrouble || !d.trouble.delsLast || len(d.waiting) == 0 {
		b.dels, d.dels = d.dels, nil
		slices.Sort(b.dels)
	}
	if inTrouble && len(b.dels) > 0 {
		d.trouble.delsLast = true
		return b
	}
	d.trouble.delsLast = false
	n, bytes := 0, int64(0)
	for n < len(d.waiting) && (n == 0 || bytes+d.waiting[n].bytes <= limit) {
		bytes += d.waiting[n].bytes
		n++
	}
	b.groups = slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	for _, g := range b.groups {
		for _, it := range g.items {
			if it.state == queued {
				it.state = writing
				b.items = append(b.items, it)
				b.size += encodedLen(&it.rec)
			}
		}
	}
	return b
}

// write puts a batch on disk, or nothing of it.
func (d *Disk) write(b *batch) error {
	start := time.Now()
	err := fileKind.Guard(d.path, func() error {
		return d.db.Update(func(tx *bolt.Tx) error {
			records := tx.Bucket([]byte(bucketRecords))
			records.FillPercent = 0.95
			for _, seq := range b.dels {
				k := seqKey(seq)
				if err := records.Delete(k[:]); err != nil {
					return err
				}
			}
			if len(b.items) == 0 {
				return nil
			}
			arena := make([]byte, 0, b.size)
			for _, it := range b.items {
				k, from := seqKey(it.rec.Seq), len(arena)
				arena = appendRecord(arena, &it.rec)
				if err := records.Put(k[:], arena[from:]); err != nil {
					return err
				}
			}
			return records.SetSequence(b.items[len(b.items)-1].rec.Seq)
		})
	})
	d.meter.commits.Observe(time.Since(start).Seconds())
	return err
}

func (d *Disk) succeeded(b *batch) {
	d.mu.Lock()
	for _, it := range b.items {
		it.state, it.group = written, nil
	}
	for _, g := range b.groups {
		d.waitBytes -= g.bytes
	}
	d.makeRoomLocked()
	over := d.trouble
	d.trouble = trouble{}
	d.mu.Unlock()
	settle(b.groups, nil)
	if over.err != nil {
		d.opt.Logger.Info("outbox writes again", slog.String("file", d.path),
			slog.Int("failures", over.failures), slog.Duration("after", time.Since(over.since).Round(time.Millisecond)))
	}
}

// failed takes a batch back, waits and reports whether to go on.
func (d *Disk) failed(b *batch, err error) bool {
	var damaged *boltfile.DamagedError
	err = fmt.Errorf("write outbox %s: %w", d.path, err)
	d.mu.Lock()
	d.takeBackLocked(b)
	first := d.trouble.err == nil
	if first {
		d.trouble.since = time.Now()
		d.trouble.batch = batchBytes
	}
	d.trouble.err = err
	d.trouble.failures++
	d.trouble.batch = max(d.trouble.batch/2, 1)
	pause := min(retryFirst<<min(d.trouble.failures-1, 10), retryMax)
	if errors.As(err, &damaged) {
		d.broken = err
	}
	giveUp := d.closed || d.broken != nil
	var settled []*group
	if giveUp {
		settled, d.waiting, d.dels, d.waitBytes = d.waiting, nil, nil, 0
		d.committing = false
		d.makeRoomLocked()
	}
	d.mu.Unlock()
	if first {
		d.opt.Logger.Error("outbox cannot write; values stay unacknowledged until it can",
			slog.String("file", d.path), slog.Any("error", err), slog.String("do", advice(err)))
	}
	d.meter.failures.Inc()
	if giveUp {
		settle(settled, errors.Join(ErrClosed, err))
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closing:
	}
	return true
}

// takeBackLocked puts a batch that failed back in front of what waits. What was
// removed meanwhile was never written.
func (d *Disk) takeBackLocked(b *batch) {
	for _, it := range b.items {
		if d.cache[it.rec.Seq] == it {
			it.state = queued
			continue
		}
		it.state = gone
		it.group.left--
	}
	d.waiting = slices.Concat(b.groups, d.waiting)
	d.dels = slices.Concat(b.dels, d.dels)
}

func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space; it is tried again by itself"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: remount it; it is tried again by itself"
	case errors.As(err, new(*boltfile.DamagedError)):
		return "restart the bridge; it says then what can be done"
	default:
		return "look at the disk; it is tried again by itself"
	}
}
