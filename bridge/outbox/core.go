package outbox

import (
	"maps"
	"time"

	"thingbridge/bridge"
)

// core is what both outboxes share: the index, the bounds and the count of what
// was dropped. Its owner's mutex guards it.
type core struct {
	opt     Options
	ix      *index
	lastSeq uint64
	dropped map[string]uint64
}

func newCore(opt Options) core {
	return core{opt: opt, ix: newIndex(opt.WhenFull == Fold), dropped: make(map[string]uint64)}
}

// stamp gives r its sequence number and size and enters it into the index.
func (c *core) stamp(r *bridge.Record, now time.Time) int64 {
	c.lastSeq++
	r.Seq = c.lastSeq
	at := time.UnixMilli(r.Time)
	if r.Time == 0 || at.After(now) {
		at = now
	}
	size := recordSize(r.Thing, r.Key, r.Data)
	c.ix.push(r.Thing, r.Key, r.Seq, size, at)
	return size
}

// trim drops by policy until the bound holds.
func (c *core) trim(d *drops, each func(seq uint64)) {
	for c.ix.bytes > c.opt.MaxBytes && c.ix.records > 0 {
		reason := ReasonFolded
		one := func(thing string, seq uint64) {
			c.dropped[reason]++
			d.add(reason, thing)
			each(seq)
		}
		if c.opt.WhenFull == Fold && c.ix.popReplaced(one) {
			continue
		}
		reason = ReasonFull
		c.ix.popOldest(one)
	}
}

// expire drops what is older than MaxAge.
func (c *core) expire(now time.Time, d *drops, each func(seq uint64)) {
	c.ix.popExpired(now.Add(-c.opt.MaxAge), func(thing string, seq uint64) {
		c.dropped[ReasonExpired]++
		d.add(ReasonExpired, thing)
		each(seq)
	})
}

// expiryPeriod is how often to look for what has expired.
func (c *core) expiryPeriod() time.Duration {
	return min(max(c.opt.MaxAge/10, 10*time.Millisecond), time.Minute)
}

func (c *core) status(mode string) Status {
	records, bytes, oldest := c.ix.depth("")
	return Status{
		Mode: mode, Records: records, Bytes: bytes, MaxBytes: c.opt.MaxBytes, Oldest: oldest,
		Things: len(c.ix.queues), Dropped: maps.Clone(c.dropped),
	}
}

// drops collects under the lock what OnDrop is told after it.
type drops struct {
	counts map[dropKey]int
}

type dropKey struct{ reason, thing string }

func (d *drops) add(reason, thing string) {
	if d.counts == nil {
		d.counts = make(map[dropKey]int)
	}
	d.counts[dropKey{reason, thing}]++
}

func (d *drops) report(to func(reason, thing string, n int)) {
	for k, n := range d.counts {
		to(k.reason, k.thing, n)
	}
}
