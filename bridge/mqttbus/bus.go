package mqttbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"thingbridge/bridge"
)

// Bus is a bridge.Bus. Its methods are safe for concurrent use.
type Bus struct {
	current atomic.Pointer[settings] // for the next session; never nil
	renewal chan struct{}            // a new session is wanted instead of what there is
	limit   atomic.Int64             // Options.PayloadLimit
	events  bridge.BusEvents
	log     *slog.Logger
	metrics *metrics

	inbox    *inbox
	queue    *outQueue
	finisher *finisher
	subs     *subscriptions

	started atomic.Bool
	skips   skipLog

	mu      sync.Mutex // guards the following
	status  Status
	kept    map[string]struct{}     // filters of the broker's inbound session; nil: not loaded
	session *session                // the present one; nil: none
	giveUp  context.CancelCauseFunc // ends the present attempt to connect; nil: there is none
	why     string                  // of the renewal
}

// settings are Options that were checked.
type settings struct {
	Options
	brokers []*url.URL
}

var _ bridge.Bus = (*Bus)(nil)

// SessionKept implements bridge.SessionKeeper.
func (b *Bus) SessionKept() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.SessionKept
}

// Status is a moment's view of a Bus, for people and probes.
type Status struct {
	Up      bool   `json:"up"` // both connections stand and every filter has been answered
	Broker  string `json:"broker,omitempty"`
	Session uint64 `json:"session"` // counts sessions from 1
	// SessionKept says that the broker had kept the inbound session (CONNACK's
	// session present), and with it what came meanwhile.
	SessionKept bool      `json:"sessionKept"`
	Since       time.Time `json:"since"` // of the last change of Up
	Attempts    int       `json:"attempts,omitempty"`
	LastError   string    `json:"lastError,omitempty"` // of the last attempt or session that failed

	Filters map[string]string `json:"refusedFilters,omitempty"` // refused filters and why

	InboxMessages   int `json:"inboxMessages"`
	PublishQueue    int `json:"publishQueue"`
	PublishInFlight int `json:"publishInFlight"`
}

// New checks o and makes a Bus that does nothing until Run. Subscribe and
// Publish may be called before.
func New(o Options, events bridge.BusEvents) (*Bus, error) {
	o.fill()
	brokers, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("MQTT: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("MQTT metrics: %w", err)
	}
	b := &Bus{
		renewal: make(chan struct{}, 1), events: events, log: o.Logger, metrics: m,
		inbox:    newInbox(o.InboxMessages, o.InboxBytes, m),
		finisher: newFinisher(),
		subs:     newSubscriptions(),
		skips:    skipLog{log: o.Logger},
	}
	b.current.Store(&settings{o, brokers})
	b.limit.Store(int64(o.PayloadLimit))
	b.queue = newOutQueue(o.PublishQueue, o.PublishQueueBytes, m, b.end)
	b.status.Since = time.Now()
	libraryLogger.Store(o.Logger)
	return b, nil
}

// end hands a publication's end over to the finisher.
func (b *Bus) end(p *publication, err error) {
	b.metrics.countEnd(err)
	if p.done != nil {
		b.finisher.add(func() { p.done(err) })
	}
}

// Subscribe adds filters to the set that should be subscribed.
func (b *Bus) Subscribe(filters ...string) {
	if len(filters) == 0 {
		return
	}
	for f, err := range b.subs.add(filters) {
		b.log.Error("cannot subscribe: not a topic filter", "filter", sanitize(f), "error", err)
	}
}

// Unsubscribe takes filters out of the set.
func (b *Bus) Unsubscribe(filters ...string) {
	if len(filters) > 0 {
		b.subs.remove(filters)
	}
}

// Publish queues p. The payload must not be changed until done was called. See bridge.Bus.
func (b *Bus) Publish(p bridge.Publication, done func(error)) {
	b.queue.push(&publication{Publication: p, done: done})
}

// Between has f run between two messages. See bridge.Bus.
func (b *Bus) Between(f func()) { b.inbox.between(f) }

// Status tells how things stand.
func (b *Bus) Status() Status {
	b.mu.Lock()
	s := b.status
	b.mu.Unlock()
	s.Filters = b.subs.refusals()
	s.InboxMessages, _ = b.inbox.depth()
	s.PublishQueue, _, s.PublishInFlight = b.queue.depth()
	return s
}

// Run connects, and connects again, until ctx ends; it may be called once. It
// returns nil when ctx ended.
func (b *Bus) Run(ctx context.Context) error {
	if !b.started.CompareAndSwap(false, true) {
		return errors.New("the MQTT bus can run once only")
	}
	if err := b.loadFilters(); err != nil {
		return err
	}
	var workers, last sync.WaitGroup
	end := make(chan struct{})
	last.Go(func() { b.finisher.run(end) })
	workers.Go(func() { b.handOver(ctx) })
	workers.Go(func() { b.expire(ctx) })
	b.connectLoop(ctx)
	workers.Wait()
	b.queue.close()
	b.queue.drop(bridge.ErrBusDown)
	close(end)
	last.Wait()
	return nil
}

// handOver gives the messages to the bridge, one by one.
func (b *Bus) handOver(ctx context.Context) {
	for {
		m, ok := b.inbox.pop(ctx)
		if !ok {
			return
		}
		if m.do != nil {
			m.do()
			continue
		}
		if b.log.Enabled(ctx, slog.LevelDebug) {
			b.log.Debug("message received", "topic", sanitize(m.Topic), "bytes", len(m.Payload), "payload", begin(m.Payload))
		}
		b.events.Message(m.Message)
	}
}

// payloadShown is how much of a payload the log shows at level debug.
const payloadShown = 300

// begin is the part of a payload that the log shows.
func begin(payload []byte) string {
	shown := string(payload[:min(len(payload), payloadShown)])
	if !utf8.Valid(payload) {
		return fmt.Sprintf("%q", shown)
	}
	return strings.ToValidUTF8(shown, "") // it may end within a character
}

// Probe has answered called by the goroutine that hands messages to the bridge, before
// those that wait, which may take long on a slow disk: it shows that this one works. Run
// must be running.
func (b *Bus) Probe(answered func()) { b.inbox.soon(answered) }

// expire ends publications whose time is over while they wait.
func (b *Bus) expire(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.queue.due:
		case <-timer.C:
		}
		if next := b.queue.expire(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// up is called by a session when every filter has been answered.
func (b *Bus) up(s *session) {
	b.mu.Lock()
	news := !b.status.Up
	if news {
		b.status.Up, b.status.Since = true, time.Now()
	}
	b.mu.Unlock()
	b.metrics.connected.Set(1)
	if news {
		b.log.Info("subscribed", "session", s.number, "filters", len(b.keptFilters()), "refused", len(b.subs.refusals()))
	}
	b.events.BusUp(s.number)
}

// down is called when a session has ended.
func (b *Bus) down(s *session, err error) {
	b.metrics.connected.Set(0)
	b.metrics.unacked.Set(0)
	b.metrics.filters.Set(0)
	if n := b.queue.rewind(); n > 0 {
		b.metrics.resent.Add(float64(n))
	}
	b.mu.Lock()
	if b.status.Up {
		b.status.Up, b.status.Since = false, time.Now()
	}
	b.mu.Unlock()
	if s.upSent {
		b.events.BusDown(s.number, err)
	}
}

func (b *Bus) loadFilters() error {
	b.kept = make(map[string]struct{})
	if b.current.Load().LoadSubscribed == nil {
		return nil
	}
	filters, err := b.current.Load().LoadSubscribed()
	if err != nil {
		return fmt.Errorf("load the subscribed topic filters: %w", err)
	}
	for _, f := range filters {
		if checkFilter(f) == nil {
			b.kept[f] = struct{}{}
		}
	}
	return nil
}

func (b *Bus) keptFilters() map[string]struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// keepFilters notes, and saves, what the broker's inbound session may hold.
func (b *Bus) keepFilters(filters map[string]struct{}) error {
	b.mu.Lock()
	same := maps.Equal(b.kept, filters)
	b.kept = maps.Clone(filters)
	b.mu.Unlock()
	if same || b.current.Load().SaveSubscribed == nil {
		return nil
	}
	if err := b.current.Load().SaveSubscribed(slices.Sorted(maps.Keys(filters))); err != nil {
		return fmt.Errorf("save the subscribed topic filters: %w", err)
	}
	return nil
}
