package outbox

import (
	"container/heap"
	"slices"
	"sort"
	"time"
	"unique"
)

// An index knows which sequence numbers each Thing has, in order, and what they
// weigh. It holds 16 bytes per record (28 with folding: a key handle and a place
// in the list of replaced records), plus the slack of growing slices. It is not
// safe for concurrent use: its owner's mutex guards it.
type index struct {
	fold    bool
	queues  map[string]*queue
	order   byHead   // every queue, the one with the oldest record first
	weights byWeight // every queue, the heaviest first
	records int
	bytes   int64
	// replaced holds, when folding, the records that a newer one of the same
	// Thing and key has replaced, in the order in which that came about. Some
	// may be gone already.
	replaced []place
}

type place struct {
	q   *queue
	seq uint64
}

// entry is one record. size 0 marks one that was taken out of the middle.
type entry struct {
	seq  uint64
	size uint32
	sec  uint32 // when it was received, in Unix seconds
}

type keyHandle = unique.Handle[string]

// queue is the records of one Thing. It always has one at least, and its first
// entry is never a hole.
type queue struct {
	thing  string
	ents   []entry
	keys   []keyHandle // parallel to ents; only when folding
	latest map[keyHandle]uint64
	live   int
	bytes  int64
	at     int // position in index.order
	weight int // position in index.weights
}

func newIndex(fold bool) *index {
	return &index{fold: fold, queues: make(map[string]*queue)}
}

var noKey = unique.Make("")

// push appends a record. seq must be greater than all before.
func (ix *index) push(thing, key string, seq uint64, size int64, at time.Time) {
	q := ix.queues[thing]
	if q == nil {
		q = &queue{thing: thing}
		ix.queues[thing] = q
		q.add(ix.fold, key, seq, size, at)
		heap.Push(&ix.order, q)
		heap.Push(&ix.weights, q)
	} else {
		q.add(ix.fold, key, seq, size, at)
		heap.Fix(&ix.weights, q.weight)
	}
	ix.records++
	ix.bytes += size
	if ix.fold && key != "" {
		ix.replace(q, unique.Make(key), seq)
	}
}

func (q *queue) add(fold bool, key string, seq uint64, size int64, at time.Time) {
	q.ents = append(q.ents, entry{seq: seq, size: uint32(size), sec: unixSeconds(at)})
	q.live++
	q.bytes += size
	if fold {
		q.keys = append(q.keys, unique.Make(key))
	}
}

func unixSeconds(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), 1<<32-1))
}

// replace notes that seq is now the newest of key.
func (ix *index) replace(q *queue, key keyHandle, seq uint64) {
	if q.latest == nil {
		q.latest = make(map[keyHandle]uint64)
	}
	if old, ok := q.latest[key]; ok {
		ix.replaced = append(ix.replaced, place{q, old})
		if len(ix.replaced) > 2*ix.records+1024 {
			ix.replaced = slices.DeleteFunc(ix.replaced, func(p place) bool { return !p.q.has(p.seq) })
		}
	}
	q.latest[key] = seq
}

// find returns the position of the first entry that is not before seq.
func (q *queue) find(seq uint64) int {
	return sort.Search(len(q.ents), func(i int) bool { return q.ents[i].seq >= seq })
}

func (q *queue) has(seq uint64) bool {
	i := q.find(seq)
	return i < len(q.ents) && q.ents[i].seq == seq && q.ents[i].size > 0
}

// popThrough removes the records of thing up to and including seq and calls
// each for every one of them.
func (ix *index) popThrough(thing string, seq uint64, each func(seq uint64)) int {
	q := ix.queues[thing]
	if q == nil {
		return 0
	}
	n, end := 0, 0
	for ; end < len(q.ents) && q.ents[end].seq <= seq; end++ {
		if ix.forget(q, end) {
			n++
			each(q.ents[end].seq)
		}
	}
	ix.cut(q, end)
	return n
}

// popOldest removes the oldest record of all Things, or of the heaviest Thing
// where that holds more than one and a half times its share: what one device
// floods in costs its own records and not those of the others.
func (ix *index) popOldest(each func(thing string, seq uint64)) {
	q := ix.order[0]
	if heavy := ix.weights[0]; 2*heavy.bytes*int64(len(ix.weights)) > 3*ix.bytes {
		q = heavy
	}
	seq := q.ents[0].seq
	ix.popThrough(q.thing, seq, func(uint64) {})
	each(q.thing, seq)
}

// popReplaced removes the record that was replaced first, if there is one.
func (ix *index) popReplaced(each func(thing string, seq uint64)) bool {
	for len(ix.replaced) > 0 {
		p := ix.replaced[0]
		ix.replaced[0] = place{}
		ix.replaced = ix.replaced[1:]
		if i := p.q.find(p.seq); i < len(p.q.ents) && p.q.ents[i].seq == p.seq && ix.forget(p.q, i) {
			ix.cut(p.q, 0)
			each(p.q.thing, p.seq)
			return true
		}
	}
	return false
}

// popExpired removes what was received before the given time: for every Thing
// its oldest records up to the first that is young enough.
func (ix *index) popExpired(before time.Time, each func(thing string, seq uint64)) {
	limit := unixSeconds(before)
	for _, q := range slices.Clone(ix.order) {
		end := 0
		for ; end < len(q.ents) && (q.ents[end].size == 0 || q.ents[end].sec < limit); end++ {
			if ix.forget(q, end) {
				each(q.thing, q.ents[end].seq)
			}
		}
		ix.cut(q, end)
	}
}

// forget takes entry i out of the counts and makes it a hole; false: it was one.
func (ix *index) forget(q *queue, i int) bool {
	e := &q.ents[i]
	if e.size == 0 {
		return false
	}
	ix.records--
	ix.bytes -= int64(e.size)
	q.live--
	q.bytes -= int64(e.size)
	e.size = 0
	heap.Fix(&ix.weights, q.weight)
	if ix.fold {
		if k := q.keys[i]; k != noKey && q.latest[k] == e.seq {
			delete(q.latest, k)
		}
	}
	return true
}

// cut drops the first n entries, all holes, and any holes after them; it
// squeezes out holes when they are the most, and removes the queue when it is empty.
func (ix *index) cut(q *queue, n int) {
	for n < len(q.ents) && q.ents[n].size == 0 {
		n++
	}
	q.ents = q.ents[n:]
	if ix.fold {
		q.keys = q.keys[n:]
	}
	if q.live == 0 {
		heap.Remove(&ix.order, q.at)
		heap.Remove(&ix.weights, q.weight)
		delete(ix.queues, q.thing)
		return
	}
	if len(q.ents) > 2*q.live+16 {
		q.squeeze(ix.fold)
	}
	if n > 0 {
		heap.Fix(&ix.order, q.at)
	}
}

func (q *queue) squeeze(fold bool) {
	ents, keys := make([]entry, 0, q.live), []keyHandle(nil)
	for i, e := range q.ents {
		if e.size == 0 {
			continue
		}
		ents = append(ents, e)
		if fold {
			keys = append(keys, q.keys[i])
		}
	}
	q.ents, q.keys = ents, keys
}

// after appends to dst the sequence numbers of thing that come after seq: at
// most n of them and, beyond the first, at most maxBytes bytes.
func (ix *index) after(dst []uint64, thing string, seq uint64, n, maxBytes int) []uint64 {
	q := ix.queues[thing]
	if q == nil || n <= 0 {
		return dst
	}
	total, overhead := 0, len(thing)+recordOverhead
	for _, e := range q.ents[q.find(seq+1):] {
		if e.size == 0 {
			continue
		}
		total += max(int(e.size)-overhead, 0)
		if len(dst) > 0 && total > maxBytes {
			break
		}
		dst = append(dst, e.seq)
		if len(dst) == n {
			break
		}
	}
	return dst
}

func (ix *index) depth(thing string) (records int, bytes int64, oldest time.Time) {
	if thing != "" {
		q := ix.queues[thing]
		if q == nil {
			return 0, 0, time.Time{}
		}
		return q.live, q.bytes, q.oldest()
	}
	if len(ix.order) == 0 {
		return 0, 0, time.Time{}
	}
	return ix.records, ix.bytes, ix.order[0].oldest()
}

func (q *queue) oldest() time.Time { return time.Unix(int64(q.ents[0].sec), 0) }

func (ix *index) things() []string {
	names := make([]string, 0, len(ix.queues))
	for name := range ix.queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// byHead is a heap of queues by the sequence number of their first record.
type byHead []*queue

func (h byHead) Len() int           { return len(h) }
func (h byHead) Less(i, j int) bool { return h[i].ents[0].seq < h[j].ents[0].seq }
func (h byHead) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *byHead) Push(x any) {
	q := x.(*queue)
	q.at = len(*h)
	*h = append(*h, q)
}
func (h *byHead) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return q
}

// byWeight is a heap of queues by the bytes that they hold.
type byWeight []*queue

func (h byWeight) Len() int           { return len(h) }
func (h byWeight) Less(i, j int) bool { return h[i].bytes > h[j].bytes }
func (h byWeight) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].weight, h[j].weight = i, j
}
func (h *byWeight) Push(x any) {
	q := x.(*queue)
	q.weight = len(*h)
	*h = append(*h, q)
}
func (h *byWeight) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return q
}
