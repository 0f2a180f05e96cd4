package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/mapping"
)

// Bridge joins a Bus and a Platform. It implements BusEvents and
// PlatformEvents; its queries may be called from any goroutine.
type Bridge struct {
	opt      Options
	engine   atomic.Pointer[mapping.Engine]
	stands   atomic.Pointer[settings]
	log      *slog.Logger
	metrics  *metrics
	platform Platform
	bus      Bus

	timers  *timers
	sched   *scheduler
	relay   *relay
	keeper  *keeper
	saver   *saver
	marker  marker
	awaited awaited
	missed  missed
	asks    *asker
	wait    *waiting
	gather  *gatherer
	prov    *provisioner
	up      *upwards
	gaps    gaps
	former  formers
	tally   tally
	turns   *turns
	trace   tracer
	seen    seen

	// work is held while a message is worked off, so that Reload comes between
	// two. It is taken before life.
	work sync.Mutex

	// life serialises what changes the registry and the Engine together. It is
	// taken before mu, by the bus's and the keeper's goroutine and by Reload, Reserve and Release.
	life  sync.Mutex
	notes []func() // log lines to be written when life is given back

	// mu guards the following. Nothing is called under it but the Engine's and
	// this package's own pure functions.
	mu         sync.Mutex
	things     map[string]*thing              // by Thing name
	byBind     map[string]*thing              // by platform name without case
	reserved   reserved                       // platform names that are no device's
	children   map[string]map[string]struct{} // by parent
	profileOff map[string]bool                // profiles whose every device is gone
	early      *earlyPresence                 // presence of Things not announced yet
	retained   map[string][]sentHash          // what the platform had before the restart
	problems   problemRing                    // of nobody's Thing
	clashes    map[string]clashing            // by the refused Thing's name
	episodes   map[string]*episode

	settled                     bool   // the broker has told all that it retains, once
	settling                    bool   // a timer will say so, if nothing else does
	remark                      bool   // the next BusUp sends the marker, though the connection is the same
	toldEpoch                   uint64 // the bus connection in which the broker last told all that it retains
	doubting                    bool   // Things may be unsure; a timer ends that
	busReset                    time.Time
	platformUp, busUp           bool
	platformSession, busSession uint64
	platformSince, busSince     time.Time
	platformErr, busErr         error

	stopping  atomic.Bool
	startedAt time.Time
}

// New makes a Bridge and reads the registry from the Store: the Things of the
// last run are registered when it returns. It starts no goroutine. An error
// means that Options are not complete or that the Store cannot be read.
func New(opt Options) (*Bridge, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	opt.setDefaults()
	b := &Bridge{
		opt: opt, log: opt.Logger,
		platform: noPlatform{}, bus: noBus{},
		timers:     newTimers(),
		things:     map[string]*thing{},
		byBind:     map[string]*thing{},
		reserved:   reserved{},
		children:   map[string]map[string]struct{}{},
		profileOff: map[string]bool{},
		early:      newEarlyPresence(opt.Limits.Things),
		retained:   map[string][]sentHash{},
		clashes:    map[string]clashing{},
		episodes:   map[string]*episode{},
		startedAt:  time.Now(),
	}
	b.busSince, b.platformSince = b.startedAt, b.startedAt
	b.engine.Store(opt.Engine)
	b.stands.Store(newSettings(&opt))
	b.metrics = newMetrics(b)
	b.metrics.link(linkBroker, false, b.busSince)
	b.metrics.link(linkPlatform, false, b.platformSince)
	b.sched = newScheduler(b)
	b.relay = newRelay(b)
	b.keeper = newKeeper(b)
	b.saver = newSaver(b)
	b.asks = newAsker(b)
	b.wait = newWaiting(b)
	b.gather = newGatherer(b)
	b.prov = newProvisioner(b)
	b.up = newUpwards(b)
	b.turns = &turns{b: b}
	b.marker.init(opt.ClientID)
	b.former.b = b
	if err := b.restore(); err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	if err := b.restorePromises(); err != nil {
		return nil, fmt.Errorf("read the promised writes: %w", err)
	}
	b.awaitParts()
	b.turns.sessions = b.engine.Load().Sessions()
	if opt.Registerer != nil {
		if err := b.metrics.register(opt.Registerer); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return b, nil
}

// Attach gives the Bridge the two sides it joins. Both are made with the Bridge
// as their event handler, so they come after New; it must be called once, before
// either side runs and before Run.
func (b *Bridge) Attach(p Platform, bus Bus) {
	b.platform, b.bus = p, bus
}

// Run does the Bridge's work until ctx ends, then stops in order: nothing new is
// taken, what is in flight has StopTimeout to finish, the rest is kept in the
// outbox or told that the bridge stops, the registry is saved. Bus and Platform
// must still run until Run has returned, so that acknowledgements and answers get
// out. It returns nil after a stop that was asked for.
func (b *Bridge) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	for _, run := range []func(context.Context){b.keeper.run, b.sched.run, b.saver.run} {
		wg.Go(func() { run(work) })
	}
	b.start()
	<-ctx.Done()
	b.stopping.Store(true)
	b.log.Info("bridge stops", "limit", b.opt.StopTimeout)
	b.drain()
	cancel()
	wg.Wait()
	return nil
}

// Probe has answered called on the goroutine that closes the gap between intent and
// reality and runs all timers: it shows that this one works. Run must be running.
func (b *Bridge) Probe(answered func()) { b.timers.after(0, answered) }

// start tells both sides the intent that the registry holds.
func (b *Bridge) start() {
	b.bus.Subscribe(b.engine.Load().Filters()...)
	if topic := b.marker.topic(); topic != "" {
		b.bus.Subscribe(topic)
	}
	b.mu.Lock()
	n := len(b.things)
	for _, t := range b.things {
		b.keeper.dirty(t.name)
	}
	b.mu.Unlock()
	b.wait.load(b.opt.Outbox.Things())
	b.timers.after(0, b.relay.reconsiderAll)
	b.saver.every()
	b.sched.watch()
	b.log.Info("bridge started", "things", n)
}

// drain gives calls of both ways and pushes in flight their time, then ends the
// calls; none is taken in any more after it.
func (b *Bridge) drain() {
	limit := time.NewTimer(b.opt.StopTimeout)
	defer limit.Stop()
	b.sched.stop()
	defer b.relay.close()
	for b.relay.inFlight() > 0 || b.up.inFlight() > 0 || b.sched.pushing() > 0 {
		select {
		case <-b.relay.ended:
		case <-b.up.ended:
		case <-b.sched.idle:
		case <-limit.C:
			b.up.endAll(stops)
			return
		}
	}
}

// note has something logged once life is given back. life is held.
func (b *Bridge) note(log func()) { b.notes = append(b.notes, log) }

// unlockLife gives life back and writes what was noted under it.
func (b *Bridge) unlockLife() {
	notes := b.notes
	b.notes = nil
	b.life.Unlock()
	for _, log := range notes {
		log()
	}
}

// episode counts repetitions of one trouble, so that the log has one line when
// it begins and one with the count when it is over.
type episode struct {
	count int
	told  time.Time // the last line
}

const (
	episodeQuiet = 30 * time.Second // without a repetition: it is over
	episodeTold  = time.Hour        // one that goes on is told of again
)

// episodic logs the first of a series of equal troubles; the end, with the
// count, is logged once it has been quiet for a while.
func (b *Bridge) episodic(key, text string, args ...any) {
	b.mu.Lock()
	e := b.episodes[key]
	first := e == nil
	if first {
		if len(b.episodes) >= maxEpisodes {
			b.mu.Unlock()
			return
		}
		e = &episode{told: time.Now()}
		b.episodes[key] = e
	}
	e.count++
	b.mu.Unlock()
	if !first {
		return
	}
	for i, arg := range args { // they are kept until the episode is over
		switch arg := arg.(type) {
		case string:
			args[i] = cutAt(arg, mostOfArg)
		case error:
			args[i] = cutAt(arg.Error(), mostOfArg)
		}
	}
	b.log.Warn(text, args...)
	b.timers.after(episodeQuiet, func() { b.episodeEnd(key, text, args, 1) })
}

const (
	maxEpisodes = 1000
	mostOfArg   = 1000 // bytes of what a line tells
)

// episodeEnd ends an episode that counted nothing since it was looked at last.
func (b *Bridge) episodeEnd(key, text string, args []any, counted int) {
	b.mu.Lock()
	e := b.episodes[key]
	n := e.count
	goesOn := n != counted && time.Since(e.told) >= episodeTold
	if n == counted {
		delete(b.episodes, key)
	}
	if goesOn {
		e.told = time.Now()
	}
	b.mu.Unlock()
	if goesOn {
		b.log.Warn(text+" (goes on)", append(args[:len(args):len(args)], "count", n)...)
	}
	if n != counted {
		b.timers.after(episodeQuiet, func() { b.episodeEnd(key, text, args, n) })
		return
	}
	if n > 1 {
		b.log.Warn(text+" (over)", append(args[:len(args):len(args)], "count", n)...)
	}
}
