package devicesim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what to simulate. Access.Broker is required; zero values mean
// the defaults that stand beside them.
type Options struct {
	Access
	Family   string        // one of Families ("native")
	Count    int           // devices (1)
	Interval time.Duration // between the values of one device (1s)
	Prefix   string        // names are Prefix and a number from 1 ("pump-")
	Seed     uint64        // equal seeds give equal values
	// OneConnectionPerDevice gives each device its own connection, and so its
	// will. Otherwise DevicesPerConnection share one, and no broker can tell
	// when one of them goes. Families behind a gateway have one in any case.
	OneConnectionPerDevice bool
	DevicesPerConnection   int // (500)
	Waiting                int // requests and late replies that one connection holds (1000)

	Logger *slog.Logger // nil: silent
}

func (o *Options) fill() {
	if o.Family == "" {
		o.Family = "native"
	}
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Prefix == "" {
		o.Prefix = "pump-"
	}
	if o.OneConnectionPerDevice {
		o.DevicesPerConnection = 1
	}
	if families[o.Family].gateway != nil {
		o.DevicesPerConnection = o.Count
	}
	if o.DevicesPerConnection == 0 {
		o.DevicesPerConnection = 500
	}
	if o.Waiting == 0 {
		o.Waiting = 1000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// schemes are those that the MQTT library dials.
var schemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss", "unix"}

func (o *Options) check() error {
	var errs []error
	if o.Broker == "" {
		errs = append(errs, errors.New("no broker; expected a URL such as tcp://host:1883"))
	} else if u, err := url.Parse(o.Broker); err != nil || !slices.Contains(schemes, u.Scheme) {
		errs = append(errs, fmt.Errorf("broker %q; expected a URL such as tcp://host:1883, with tcp, ssl, ws, wss or unix", o.Broker))
	}
	if _, ok := families[o.Family]; !ok {
		errs = append(errs, fmt.Errorf("family %q is not known; expected one of %s", o.Family, strings.Join(Families(), ", ")))
	}
	if o.Count < 0 || o.Interval < 0 || o.DevicesPerConnection < 0 || o.Waiting < 0 {
		errs = append(errs, errors.New("a negative number; expected zero for the default, or more"))
	}
	if strings.ContainsAny(o.Prefix, "/+#\x00") {
		errs = append(errs, fmt.Errorf("prefix %q; it must not hold / + # or NUL", o.Prefix))
	}
	return errors.Join(errs...)
}

// Simulator is a set of simulated devices. It can be run once.
type Simulator struct {
	opt    Options
	family family
	names  []string

	online, sent, requests, dropped atomic.Int64
}

// Stats is a moment's view of a Simulator.
type Stats struct {
	Online   int64 // devices whose connection stands
	Sent     int64 // messages
	Requests int64 // messages received
	Dropped  int64 // of them, those that found no room
}

// New checks o and makes a Simulator that does nothing until Run.
func New(o Options) (*Simulator, error) {
	o.fill()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("simulate devices: %w", err)
	}
	s := &Simulator{opt: o, family: families[o.Family]}
	for i := range o.Count {
		s.names = append(s.names, o.Prefix+strconv.Itoa(i+1))
	}
	return s, nil
}

// Names lists the devices, in order.
func (s *Simulator) Names() []string { return append([]string(nil), s.names...) }

// Stats tells how things stand.
func (s *Simulator) Stats() Stats {
	return Stats{Online: s.online.Load(), Sent: s.sent.Load(), Requests: s.requests.Load(), Dropped: s.dropped.Load()}
}

// Run lives the devices' life until ctx ends; then each says goodbye.
func (s *Simulator) Run(ctx context.Context) error {
	var group sync.WaitGroup
	per := s.opt.DevicesPerConnection
	for first := 0; first < len(s.names); first += per {
		c := s.crew(first, s.names[first:min(first+per, len(s.names))])
		group.Go(func() { c.run(ctx) })
	}
	group.Wait()
	return nil
}

func (s *Simulator) crew(first int, names []string) *crew {
	c := &crew{
		sim: s, id: fmt.Sprintf("devicesim-%s%d", s.opt.Prefix, first+1), byName: make(map[string]device), count: len(names),
		requests: make(chan request, s.opt.Waiting), late: make(chan message, s.opt.Waiting),
		rng: rand.New(rand.NewPCG(s.opt.Seed, uint64(first))),
	}
	for i, name := range names {
		d := s.family.make(name, rand.New(rand.NewPCG(s.opt.Seed, uint64(first+i)+1<<32)))
		c.devices = append(c.devices, d)
		c.byName[name] = d
	}
	if s.family.gateway != nil {
		gateway := s.family.gateway(c.devices)
		c.devices = append([]device{gateway}, c.devices...)
		c.byName[""] = gateway
	}
	return c
}

// crew is the devices of one connection.
type crew struct {
	sim     *Simulator
	id      string
	devices []device
	byName  map[string]device
	count   int  // devices, without a gateway
	away    bool // without a broker, and that is logged
	rng     *rand.Rand

	requests chan request
	late     chan message // replies whose delay is over
	delayed  atomic.Int64 // replies with a delay, not yet taken from late
}

type request struct {
	topic   string
	payload []byte
}

func (c *crew) run(ctx context.Context) {
	const longest = 5 * time.Second
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		started := time.Now()
		err := c.live(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > longest {
			wait = 100 * time.Millisecond
		}
		c.lost(ctx, err)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + time.Duration(c.rng.Int64N(int64(wait)))):
		}
		wait = min(2*wait, longest)
	}
}

// lost logs that there is no broker: once, however often it is tried again.
func (c *crew) lost(ctx context.Context, err error) {
	level := slog.LevelWarn
	if c.away {
		level = slog.LevelDebug
	}
	c.away = true
	c.sim.opt.Logger.Log(ctx, level, "simulated devices have no broker; it is tried again", "client_id", c.id, "error", err)
}

// back logs that there is one again.
func (c *crew) back() {
	if c.away {
		c.away = false
		c.sim.opt.Logger.Info("simulated devices have their broker again", "client_id", c.id)
	}
}

// live is one connection's life.
func (c *crew) live(ctx context.Context) error {
	var will *message
	if len(c.devices) == 1 || c.sim.family.gateway != nil {
		will = c.devices[0].will()
	}
	conn, err := c.sim.opt.connect(ctx, c.id, will, c.receive)
	if err != nil {
		return err
	}
	defer conn.leave()
	if err := c.greet(ctx, conn); err != nil {
		return err
	}
	c.back()
	c.sim.online.Add(int64(c.count))
	defer c.sim.online.Add(-int64(c.count))
	return c.work(ctx, conn)
}

func (c *crew) greet(ctx context.Context, conn *client) error {
	var filters []string
	for _, d := range c.devices {
		filters = append(filters, d.filters()...)
	}
	if err := conn.subscribe(ctx, filters); err != nil {
		return err
	}
	for _, d := range c.devices {
		if err := c.send(ctx, conn, d.hello(time.Now())); err != nil {
			return err
		}
	}
	return conn.settle(ctx, 0)
}

// work ticks the devices, evenly over the interval, and answers what comes.
func (c *crew) work(ctx context.Context, conn *client) error {
	step := max(c.sim.opt.Interval/time.Duration(len(c.devices)), time.Microsecond)
	const finest = 5 * time.Millisecond
	ticker := time.NewTicker(max(step, finest))
	defer ticker.Stop()
	for next, due := 0, time.Now().Add(step); ; {
		var out []message
		select {
		case <-ctx.Done():
			c.farewell(conn)
			return nil
		case <-conn.lost:
			return errLost
		case r := <-c.requests:
			out = c.handle(r)
		case m := <-c.late:
			c.delayed.Add(-1)
			out = []message{m}
		case now := <-ticker.C:
			// At most one round at a time: a broker that stalled is not flooded after.
			for n := 0; !due.After(now) && n < len(c.devices); n++ {
				out = append(out, c.devices[next].tick(now)...)
				next, due = (next+1)%len(c.devices), due.Add(step)
			}
			if due.Before(now) {
				due = now
			}
		}
		if err := c.send(ctx, conn, out); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// receive runs on the MQTT library's goroutine.
func (c *crew) receive(topic string, payload []byte) {
	c.sim.requests.Add(1)
	select {
	case c.requests <- request{topic, payload}:
	default:
		c.sim.dropped.Add(1)
	}
}

func (c *crew) handle(r request) []message {
	now := time.Now()
	owner := c.sim.family.owner(r.topic)
	if owner == everyone {
		var out []message
		for _, d := range c.devices {
			out = append(out, d.handle(r.topic, r.payload, now)...)
		}
		return out
	}
	d := c.byName[owner]
	if d == nil {
		return nil
	}
	return d.handle(r.topic, r.payload, now)
}

func (c *crew) send(ctx context.Context, conn *client, out []message) error {
	for _, m := range out {
		if m.delay > 0 {
			c.postpone(m)
			continue
		}
		c.sim.sent.Add(1)
		if err := conn.send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// postpone has m sent when its delay is over.
func (c *crew) postpone(m message) {
	if c.delayed.Add(1) > int64(cap(c.late)) {
		c.delayed.Add(-1)
		c.sim.dropped.Add(1)
		return
	}
	delay := m.delay
	m.delay = 0
	time.AfterFunc(delay, func() { c.late <- m }) // has room: no more are delayed than fit
}

func (c *crew) farewell(conn *client) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, d := range c.devices {
		if c.send(ctx, conn, d.goodbye()) != nil {
			return
		}
	}
	if err := conn.settle(ctx, 0); err != nil {
		c.sim.opt.Logger.Warn("simulated devices could not say goodbye", "client_id", c.id, "error", err)
	}
}
