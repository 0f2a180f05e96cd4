package devicesim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// LoadOptions says what a Load publishes.
type LoadOptions struct {
	Access
	Things      int     // how many (1)
	Prefix      string  // names are Prefix and a number from 1 ("load-")
	PerThing    int64   // numbers for each Thing; 0: until Run's context ends
	Rate        float64 // messages a second in all; 0: as fast as the broker acknowledges
	Connections int     // (1); a Thing keeps to one
	Window      int     // messages of one connection not yet acknowledged (100)
	Padding     int     // bytes added to each message
	Logger      *slog.Logger
}

// LoadProperty is the name of the property that carries the numbers.
const LoadProperty = "seq"

// Load publishes the numbers 1, 2, 3 … of each Thing, in order, at QoS 1, as the
// native property LoadProperty with a time, and records what the broker
// acknowledged. A number that was not acknowledged when the connection broke is
// published again before any later one. It can be run once.
type Load struct {
	opt   LoadOptions
	names []string
	acked []atomic.Int64 // by Thing: all numbers up to this one are acknowledged
	sent  atomic.Int64
}

// NewLoad checks o and makes a Load that does nothing until Run.
func NewLoad(o LoadOptions) (*Load, error) {
	if o.Broker == "" {
		return nil, errors.New("load: no broker; expected a URL such as tcp://host:1883")
	}
	if o.Things < 0 || o.PerThing < 0 || o.Rate < 0 || o.Connections < 0 || o.Window < 0 || o.Padding < 0 {
		return nil, errors.New("load: a negative number; expected zero for the default, or more")
	}
	o.Things = max(o.Things, 1)
	o.Connections = min(max(o.Connections, 1), o.Things)
	if o.Window == 0 {
		o.Window = 100
	}
	if o.Prefix == "" {
		o.Prefix = "load-"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Load{opt: o, acked: make([]atomic.Int64, o.Things)}
	for i := range o.Things {
		l.names = append(l.names, o.Prefix+strconv.Itoa(i+1))
	}
	return l, nil
}

// Acknowledged gives, for each Thing, the highest number up to which the broker
// has acknowledged all. It may be called while Run works.
func (l *Load) Acknowledged() map[string]int64 {
	out := make(map[string]int64, len(l.names))
	for i, name := range l.names {
		out[name] = l.acked[i].Load()
	}
	return out
}

// Sent counts the messages published, repetitions included.
func (l *Load) Sent() int64 { return l.sent.Load() }

// Announce makes the Things known: retained announcements and their status.
func (l *Load) Announce(ctx context.Context) error {
	c, err := l.opt.connect(ctx, l.opt.Prefix+"announcer", nil, nil)
	if err != nil {
		return err
	}
	defer c.leave()
	announcement := fmt.Appendf(nil, `{"properties":{%q:{"type":"LONG","push":"ALWAYS"}}}`, LoadProperty)
	for _, name := range l.names {
		err := c.send(ctx,
			message{topic: nativeRoot + name + "/announce", payload: announcement, qos: 1, retain: true},
			message{topic: nativeRoot + name + "/status", payload: []byte("online"), qos: 1, retain: true})
		if err != nil {
			return err
		}
	}
	return c.settle(ctx, 0)
}

// Run publishes until every number is acknowledged, or ctx ends; both give nil.
func (l *Load) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for i := range l.opt.Connections {
		s := &stream{load: l, id: l.opt.Prefix + "stream-" + strconv.Itoa(i+1), step: l.opt.Connections, first: i}
		for t := i; t < l.opt.Things; t += s.step {
			s.things++
		}
		group.Go(func() { s.run(ctx) })
	}
	group.Wait()
	return nil
}

// stream is the part of a Load that one connection carries: the Things first,
// first+step, …, one number of each in turn. One goroutine owns it.
type stream struct {
	load        *Load
	id          string
	first, step int
	things      int

	position int64        // messages that exist so far; message p is Thing p%things, number p/things+1
	settled  int64        // of them, acknowledged: always the first ones
	flight   []paho.Token // of message settled and on
}

func (s *stream) total() int64 {
	if s.load.opt.PerThing == 0 {
		return 1<<63 - 1
	}
	return s.load.opt.PerThing * int64(s.things)
}

func (s *stream) run(ctx context.Context) {
	for ctx.Err() == nil && s.settled < s.total() {
		err := s.live(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.load.opt.Logger.Info("load lost its broker", "client_id", s.id, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *stream) live(ctx context.Context) error {
	c, err := s.load.opt.connect(ctx, s.id, nil, nil)
	if err != nil {
		return err
	}
	defer c.leave()
	s.flight = nil
	s.position = s.settled // what was not acknowledged is published again
	started, before := time.Now(), s.position
	for s.settled < s.total() {
		for len(s.flight) < s.load.opt.Window && s.position < s.allowed(started, before) {
			s.publish(c)
		}
		if err := s.wait(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// allowed is the position that the rate lets us reach by now.
func (s *stream) allowed(started time.Time, before int64) int64 {
	if s.load.opt.Rate == 0 {
		return s.total()
	}
	rate := s.load.opt.Rate * float64(s.things) / float64(s.load.opt.Things)
	return min(s.total(), before+int64(rate*time.Since(started).Seconds())+1)
}

func (s *stream) publish(c *client) {
	thing, number := s.at(s.position)
	payload := fmt.Appendf(nil, `{"values":{%q:%d},"time":%d}`, LoadProperty, number, time.Now().UnixMilli())
	for range s.load.opt.Padding {
		payload = append(payload, ' ')
	}
	s.flight = append(s.flight, c.Publish(nativeRoot+s.load.names[thing]+"/properties", 1, false, payload))
	s.position++
	s.load.sent.Add(1)
}

func (s *stream) at(position int64) (thing int, number int64) {
	n := int64(s.things)
	return s.first + int(position%n)*s.step, position/n + 1
}

// wait settles the oldest message, or lets a little time go by if none is in flight.
func (s *stream) wait(ctx context.Context, c *client) error {
	if len(s.flight) == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.lost:
			return errLost
		case <-time.After(2 * time.Millisecond):
			return nil
		}
	}
	if err := await(ctx, s.flight[0], c.lost); err != nil {
		return err
	}
	thing, number := s.at(s.settled)
	s.load.acked[thing].Store(number)
	s.flight = s.flight[1:]
	s.settled++
	return nil
}
