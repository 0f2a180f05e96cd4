package outbox

import (
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"thingbridge/bridge"
)

const (
	flushDelay  = 200 * time.Millisecond // how long removals wait for an append to go with
	flushMany   = 4096                   // removals that do not wait
	waitingMax  = 16 << 20               // bytes appended and not yet on disk
	appendPause = 5 * time.Second        // how long Append blocks while waitingMax is reached
	batchBytes  = 8 << 20                // in one transaction
	retryFirst  = 250 * time.Millisecond
	retryMax    = 5 * time.Second
	cacheCost   = 200 // bytes of RAM for a cached record beside its data
)

// Disk is an Outbox in a file. See the package comment.
type Disk struct {
	path  string
	db    *bolt.DB
	meter *meter

	mu sync.Mutex // guards the following
	core
	cache      map[uint64]*item // what waits for the disk, and the newest of what is there
	cacheOrder []uint64         // cached sequence numbers, oldest first; some may be gone
	cacheBytes int64
	waiting    []*group      // not on disk yet, in order
	waitBytes  int64         // of waiting and of what is being written
	room       chan struct{} // closed and replaced when waitBytes shrinks
	dels       []uint64      // removed here, not yet from the file
	committing bool          // the committer runs
	flushing   *time.Timer   // starts it for dels
	expiring   *time.Timer
	trouble    trouble
	broken     error // the file cannot be used any more
	closed     bool

	closing chan struct{}  // closed by Close
	workers sync.WaitGroup // the committer and the timers' functions
}

var _ bridge.Outbox = (*Disk)(nil)

// item is a record in RAM.
type item struct {
	rec   bridge.Record
	group *group // nil once on disk
	state itemState
}

type itemState uint8

const (
	queued  itemState = iota // waits for the committer
	writing                  // in the transaction under way
	written                  // on disk
	gone                     // removed before it was written
)

// group is the records of one Append.
type group struct {
	items []*item
	left  int // items that are not gone
	bytes int64
	kept  func(error)
}

// Append implements bridge.Outbox: kept(nil) is called when the records are on
// disk, or no longer needed there. It sets the Seq of recs and keeps their Data,
// which must not be changed afterwards. It blocks for at most five seconds, only
// while 16 MiB wait for the disk; kept then gets ErrBacklogged. After Close it gets ErrClosed.
func (d *Disk) Append(recs []bridge.Record, kept func(error)) {
	if len(recs) == 0 {
		kept(nil)
		return
	}
	if err := d.waitForRoom(); err != nil {
		kept(err)
		return
	}
	var dropped drops
	d.mu.Lock()
	if err := d.refusalLocked(); err != nil {
		d.mu.Unlock()
		kept(err)
		return
	}
	d.addLocked(recs, kept)
	d.trim(&dropped, d.removedLocked)
	d.armExpiryLocked()
	d.startLocked()
	d.mu.Unlock()
	dropped.report(d.opt.OnDrop)
}

func (d *Disk) addLocked(recs []bridge.Record, kept func(error)) {
	now := time.Now()
	g := &group{kept: kept, left: len(recs), items: make([]*item, len(recs))}
	items := make([]item, len(recs))
	for i := range recs {
		g.bytes += d.stamp(&recs[i], now)
		items[i] = item{rec: recs[i], group: g}
		g.items[i] = &items[i]
		d.cacheLocked(&items[i])
	}
	d.waiting = append(d.waiting, g)
	d.waitBytes += g.bytes
	d.meter.appended.Add(float64(len(recs)))
}

// waitForRoom blocks while too much waits for the disk.
func (d *Disk) waitForRoom() error {
	d.mu.Lock()
	room, full := d.room, d.waitBytes >= waitingMax
	stuck := full && d.trouble.err != nil
	d.mu.Unlock()
	if !full {
		return nil
	}
	if stuck {
		return ErrBacklogged
	}
	pause := time.NewTimer(appendPause)
	defer pause.Stop()
	for full {
		select {
		case <-room:
		case <-d.closing:
			return ErrClosed
		case <-pause.C:
			return ErrBacklogged
		}
		d.mu.Lock()
		room, full = d.room, d.waitBytes >= waitingMax
		d.mu.Unlock()
	}
	return nil
}

func (d *Disk) refusalLocked() error {
	if d.closed {
		return ErrClosed
	}
	return d.broken
}

// Peek implements bridge.Outbox. It gives records that are not on disk yet, too:
// what the platform gets before the disk has it is at worst sent once more.
// Data of the records must not be changed.
func (d *Disk) Peek(thing string, after uint64, max, maxBytes int) ([]bridge.Record, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, ErrClosed
	}
	seqs := d.ix.after(nil, thing, after, max, maxBytes)
	recs := make([]bridge.Record, len(seqs))
	missing := 0
	for i, seq := range seqs {
		if it := d.cache[seq]; it != nil {
			recs[i] = it.rec
		} else {
			recs[i].Seq = seq
			missing++
		}
	}
	if missing == 0 {
		d.mu.Unlock()
		return recs, nil
	}
	d.workers.Add(1) // keeps the file open
	d.mu.Unlock()
	defer d.workers.Done()
	d.meter.diskReads.Add(float64(missing))
	return d.readMissing(recs)
}

// Done implements bridge.Outbox. The removal reaches the disk with the next
// append, or some tenths of a second later: after a kill the last ones may be there again.
func (d *Disk) Done(thing string, seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ix.popThrough(thing, seq, d.removedLocked)
	d.startLocked()
}

// Drop implements bridge.Outbox.
func (d *Disk) Drop(thing string) { d.Done(thing, ^uint64(0)) }

// removedLocked takes a record that is out of the index out of the rest.
func (d *Disk) removedLocked(seq uint64) {
	it := d.cache[seq]
	if it != nil {
		d.uncacheLocked(it)
	}
	if it != nil && it.state == queued {
		it.state = gone
		it.group.left--
		return
	}
	d.dels = append(d.dels, seq)
}

// Things implements bridge.Outbox; the names are sorted.
func (d *Disk) Things() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ix.things()
}

// Depth implements bridge.Outbox. oldest is exact to the second.
func (d *Disk) Depth(thing string) (records int, bytes int64, oldest time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ix.depth(thing)
}

// Err says why the disk does not write at present; nil: it does.
func (d *Disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble.err
}

// Status gives the present state.
func (d *Disk) Status() Status {
	d.mu.Lock()
	s := d.status("disk")
	s.Waiting = len(d.waiting)
	s.Err, s.Since = d.trouble.err, d.trouble.since
	d.mu.Unlock()
	s.FileSize = fileSize(d.path)
	return s
}

// Close writes what waits, calls every kept that is left, and closes the file.
// While the disk does not write, it tries once more and gives the rest kept(ErrClosed).
func (d *Disk) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	close(d.closing)
	stopTimer(d.flushing)
	stopTimer(d.expiring)
	d.startCommitterLocked()
	broken := d.broken != nil
	d.mu.Unlock()
	d.workers.Wait()
	d.meter.unregister()
	if broken {
		return nil // closing could hang on a lock that the damage left taken
	}
	return d.db.Close()
}

func stopTimer(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

func (d *Disk) armExpiryLocked() {
	if d.opt.MaxAge == 0 || d.closed || d.ix.records == 0 {
		return
	}
	if d.expiring == nil {
		d.expiring = time.AfterFunc(d.expiryPeriod(), d.expireNow)
	}
}

func (d *Disk) expireNow() {
	var dropped drops
	d.mu.Lock()
	d.expiring = nil
	if !d.closed {
		d.expire(time.Now(), &dropped, d.removedLocked)
		d.armExpiryLocked()
		d.startLocked()
	}
	d.mu.Unlock()
	dropped.report(d.opt.OnDrop)
}

// cacheLocked takes it into RAM and makes room for it.
func (d *Disk) cacheLocked(it *item) {
	d.cache[it.rec.Seq] = it
	d.cacheOrder = append(d.cacheOrder, it.rec.Seq)
	d.cacheBytes += int64(len(it.rec.Data) + cacheCost)
	for d.cacheBytes > d.opt.CacheBytes && len(d.cacheOrder) > 0 {
		old := d.cache[d.cacheOrder[0]]
		if old != nil && old.state != written {
			break // it and all after it wait for the disk
		}
		d.cacheOrder = d.cacheOrder[1:]
		if old != nil {
			d.uncacheLocked(old)
		}
	}
	if len(d.cacheOrder) > 2*len(d.cache)+1024 {
		live := make([]uint64, 0, len(d.cache))
		for _, seq := range d.cacheOrder {
			if d.cache[seq] != nil {
				live = append(live, seq)
			}
		}
		d.cacheOrder = live
	}
}

func (d *Disk) uncacheLocked(it *item) {
	delete(d.cache, it.rec.Seq)
	d.cacheBytes -= int64(len(it.rec.Data) + cacheCost)
}
