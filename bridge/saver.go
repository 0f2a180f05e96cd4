package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"thingbridge/mapping"
)

// saver writes the registry to the Store on a goroutine of its own, so that a
// slow disk holds up neither messages nor timers. Only the newest state of a Thing
// is written. An announcement is acknowledged to the broker after its write.
type saver struct {
	b    *Bridge
	wake chan struct{}

	// mu guards the following.
	mu    sync.Mutex
	jobs  map[string]*saveJob // by key
	order []string
	dirty map[string]struct{} // Things whose sent hashes changed
}

type saveJob struct {
	thing string
	write func() error
	kept  []func(error)
}

const (
	sentPrefix   = "sent:" // a colon is in no Thing name
	sentInterval = 5 * time.Second
	sentPerRound = 2000
)

func newSaver(b *Bridge) *saver {
	return &saver{b: b, wake: make(chan struct{}, 1), jobs: map[string]*saveJob{}, dirty: map[string]struct{}{}}
}

// thing has a Thing's registry entry saved; kept is told once it is. kept may be nil.
func (s *saver) thing(name string, kept func(error)) {
	s.put(name, name, func() error { return s.write(name) }, kept)
}

// forget has a Thing deleted from the Store.
func (s *saver) forget(name string, kept func(error)) {
	s.put(name, name, func() error {
		return errors.Join(s.b.opt.Store.Delete(name), s.b.opt.Store.Delete(sentPrefix+name))
	}, kept)
}

// promise has a promised write saved; kept is told once it is durable.
func (s *saver) promise(p *promise, data []byte, kept func(error)) {
	s.put(promiseKey(p.id), p.thing, func() error { return s.b.opt.Store.SaveWrite(p.id, data) }, kept)
}

// forgetPromise has a promised write deleted from the Store.
func (s *saver) forgetPromise(id uint64, thing string) {
	s.put(promiseKey(id), thing, func() error { return s.b.opt.Store.DeleteWrite(id) }, nil)
}

// promiseKey is no Thing's name: that has no colon.
func promiseKey(id uint64) string { return "promise:" + strconv.FormatUint(id, 10) }

// put notes a job; a newer one of the same key takes the place of one that waits.
func (s *saver) put(key, thing string, write func() error, kept func(error)) {
	if s.b.opt.Store == nil {
		if kept != nil {
			kept(nil)
		}
		return
	}
	s.mu.Lock()
	j := s.jobs[key]
	if j == nil {
		j = &saveJob{thing: thing}
		s.jobs[key] = j
		s.order = append(s.order, key)
	}
	j.write = write
	if kept != nil {
		j.kept = append(j.kept, kept)
	}
	s.mu.Unlock()
	signal(s.wake)
}

// sent notes that the platform has newer values of a Thing than the Store knows of.
func (s *saver) sent(name string) {
	if s.b.opt.Store == nil {
		return
	}
	s.mu.Lock()
	s.dirty[name] = struct{}{}
	s.mu.Unlock()
}

// every starts the rounds that save what the platform has.
func (s *saver) every() {
	s.b.timers.after(sentInterval, func() {
		signal(s.wake)
		s.every()
	})
}

// run is the saver's goroutine. It writes everything that is left when ctx ends.
func (s *saver) run(ctx context.Context) {
	last := time.Now()
	for {
		s.flush()
		if time.Since(last) >= sentInterval {
			s.flushSent(sentPerRound)
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			s.flush()
			s.flushSent(0)
			return
		case <-s.wake:
		}
	}
}

// flush writes all that waits, makes it durable once, and tells.
func (s *saver) flush() {
	s.mu.Lock()
	order, jobs := s.order, s.jobs
	if len(order) == 0 {
		s.mu.Unlock()
		return
	}
	s.order, s.jobs = nil, map[string]*saveJob{}
	s.mu.Unlock()
	errs := make([]error, len(order))
	told := false
	for i, key := range order {
		errs[i] = jobs[key].write()
		told = told || len(jobs[key].kept) > 0
	}
	var all error
	if y, ok := s.b.opt.Store.(Syncer); ok && told {
		all = y.Sync()
	}
	for i, key := range order {
		err := errors.Join(errs[i], all)
		if err != nil {
			s.b.metrics.storeErrors.Inc()
			s.b.episodic("store", "registry cannot be saved", "thing", jobs[key].thing, "error", err)
		}
		for _, kept := range jobs[key].kept {
			kept(err)
		}
	}
}

func (s *saver) write(name string) error {
	b := s.b
	b.mu.Lock()
	t := b.things[name]
	if t == nil || t.leaving {
		b.mu.Unlock()
		return nil
	}
	b.sched.mu.Lock()
	held := t.flow.hold && !t.unsure
	b.sched.mu.Unlock()
	flags := boolByte(t.offline) | boolByte(t.wiped)<<1 | boolByte(b.profileOff[t.device.Profile])<<2 | boolByte(t.expired)<<3 | boolByte(t.alone)<<4 |
		boolByte(held)<<5 | boolByte(t.asleep)<<6
	b.mu.Unlock()
	data, err := b.engine.Load().Save(name)
	if err != nil {
		return fmt.Errorf("save thing %q: %w", name, err)
	}
	return b.opt.Store.Save(name, append([]byte{savedVersion, flags}, data...))
}

// savedVersion starts a Thing's saved form, followed by flags (1: offline,
// 2: the broker lost its retained announcement, 4: every device of its profile is
// offline, 8: it has been silent for too long, 16: its offline takes no others along,
// 32: its values are kept back, 64: it sleeps) and the Engine's own form.
const savedVersion = 1

// flushSent saves the hashes of what the platform has, of at most limit Things.
func (s *saver) flushSent(limit int) {
	s.mu.Lock()
	names := make([]string, 0, len(s.dirty))
	for name := range s.dirty {
		if limit > 0 && len(names) == limit {
			break
		}
		names = append(names, name)
		delete(s.dirty, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		s.b.mu.Lock()
		t := s.b.things[name]
		var data []byte
		if t != nil && !t.leaving {
			data = encodeSent(t.known, s.b.retained[name])
		}
		s.b.mu.Unlock()
		if data == nil {
			continue
		}
		if err := s.b.opt.Store.Save(sentPrefix+name, data); err != nil {
			s.b.metrics.storeErrors.Inc()
			s.b.episodic("store", "registry cannot be saved", "thing", name, "error", err)
			return
		}
	}
}

// restore reads the registry. What cannot be read is left out, logged and
// stays in the Store; only a Store that fails as a whole is an error.
func (b *Bridge) restore() error {
	if b.opt.Store == nil {
		return nil
	}
	var entries []savedThing
	err := b.opt.Store.Load(func(key string, data []byte) error {
		if name, ok := strings.CutPrefix(key, sentPrefix); ok {
			if hashes := decodeSent(data); len(hashes) > 0 {
				b.retained[name] = hashes
			}
			return nil
		}
		e := savedThing{key: strings.Clone(key), data: slices.Clone(data)}
		if len(data) > 2 {
			e.since = mapping.SavedSince(data[2:])
		}
		entries = append(entries, e)
		return nil
	})
	slices.SortStableFunc(entries, func(a, b savedThing) int { return cmp.Compare(a.since, b.since) })
	for i := range entries {
		if err := b.restoreThing(entries[i].data); err != nil {
			b.log.Warn("registry entry left out", "thing", entries[i].key, "error", err)
			b.problems.add("registry", fmt.Sprintf("%s: %v", entries[i].key, err))
		}
		entries[i].data = nil
	}
	for _, t := range b.things {
		b.recount(t) // only now are all parents there
	}
	return err
}

// savedThing is an entry of the Store. They are restored in the order in which the
// Things came: who had a topic first has it still.
type savedThing struct {
	key   string
	since int64
	data  []byte
}

func (b *Bridge) restoreThing(data []byte) error {
	if len(data) < 2 || data[0] != savedVersion {
		return errors.New("unknown version of a saved Thing")
	}
	d, err := b.engine.Load().Restore(data[2:])
	if err != nil {
		return err
	}
	if why := b.refusal(d); why != nil {
		return why
	}
	change, err := b.engine.Load().Put(d)
	if err != nil {
		return err
	}
	change.Refresh = nil // the first connection brings all that is retained
	b.keeper.filters(change)
	t := &thing{name: d.Thing, device: d, bind: bindName(d), offline: data[1]&1 != 0, wiped: data[1]&2 != 0, alone: data[1]&16 != 0,
		lastSeen: time.Now(), unheard: true, stateFrom: time.Now()}
	t.flow.thing = t
	t.flow.hold = data[1]&32 != 0 && b.engine.Load().Watches(d.Thing).Hold
	t.asleep = data[1]&64 != 0 && d.SleepTold
	if data[1]&4 != 0 && b.engine.Load().SpeaksForAll(d.Profile) {
		b.profileOff[d.Profile] = true
	}
	b.things[d.Thing] = t
	b.byBind[foldName(t.bind)] = t
	b.adoptLocked(&thing{name: t.name}, d.Parent)
	if d.ExpireAfter > 0 {
		t.expired = data[1]&8 != 0
		b.keeper.expireLaterLocked(t, d.ExpireAfter)
	}
	return nil
}
