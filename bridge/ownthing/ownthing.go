package ownthing

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

const (
	// Interval is the time between two looks at the figures, and so between two
	// pushes of one property.
	Interval = 10 * time.Second
	// InfoInterval is the time between two publications on MQTT.
	InfoInterval = time.Minute

	pushTimeout = 30 * time.Second // the platform's time to answer
)

// Figure is one thing that the bridge says of itself: a property of its Thing,
// a member of the object on MQTT.
type Figure struct {
	Name        string
	Description string
	Unit        string
	Value       alwayson.Value
}

// Options say what a Self shows. Figures, Next and, where there is a Name,
// Status are required.
type Options struct {
	Name        string // of the Thing; "" there is none
	Description string // of the Thing
	InfoTopic   string // of the object on MQTT; "" none
	Figures     func() []Figure
	Status      func() []byte // GetStatus' result, JSON
	Next        bridge.PlatformEvents
	Logger      *slog.Logger
}

// Self is the bridge as it shows itself. It implements bridge.PlatformEvents.
type Self struct {
	bridge.PlatformEvents // whose the rest is
	opt                   Options
	platform              bridge.Platform
	bus                   bridge.Bus
	wake                  chan struct{}
	present               atomic.Pointer[string] // the Thing's name

	// mu guards the following.
	mu      sync.Mutex
	figures []Figure
	filters map[string]*property // by edge name; nil: the platform's subscriptions are not known
	pushing bool
	failing bool
}

// property is a subscribed one.
type property struct {
	sub    alwayson.Subscription
	filter alwayson.PushFilter
}

// New makes a Self, which answers at once and pushes when it runs.
func New(opt Options) *Self {
	s := &Self{PlatformEvents: opt.Next, opt: opt, wake: make(chan struct{}, 1)}
	s.present.Store(&opt.Name)
	return s
}

func (s *Self) name() string { return *s.present.Load() }

// Rename gives the Thing another name, or none with "". What the platform
// subscribed to is forgotten, since it is another Thing.
func (s *Self) Rename(name string) {
	if s.name() != name {
		s.present.Store(&name)
		s.forget()
	}
}

// Attach gives the two sides, which are made with the Self as their handler. It
// must be called once, before either side runs and before Run.
func (s *Self) Attach(p bridge.Platform, b bridge.Bus) { s.platform, s.bus = p, b }

// Run looks at the figures every Interval, and shows them, until ctx ends.
func (s *Self) Run(ctx context.Context) error {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	published := time.Now().Add(Interval - InfoInterval) // once there is something to tell
	for {
		s.look()
		s.push()
		if now := time.Now(); s.opt.InfoTopic != "" && now.Sub(published) >= InfoInterval {
			s.publish()
			published = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.wake:
		}
	}
}

// look takes the newest figures.
func (s *Self) look() []Figure {
	figures := s.opt.Figures()
	s.mu.Lock()
	s.figures = figures
	s.mu.Unlock()
	return figures
}

// known gives the figures of the last look.
func (s *Self) known() []Figure {
	s.mu.Lock()
	figures := s.figures
	s.mu.Unlock()
	if figures == nil {
		return s.look()
	}
	return figures
}

// publish puts the figures onto MQTT, retained. One that the broker does not
// have by the time of the next is not sent any more.
func (s *Self) publish() {
	object := map[string]any{"time": time.Now().UTC().Format(time.RFC3339)}
	for _, f := range s.known() {
		object[f.Name] = mapping.ToJSON(f.Value)
	}
	s.bus.Publish(bridge.Publication{Topic: s.opt.InfoTopic, Payload: mapping.AppendJSON(nil, mapping.Infer(object)),
		QoS: 1, Retain: true, Expires: time.Now().Add(InfoInterval)}, nil)
}

// push sends what the platform's subscriptions let through.
func (s *Self) push() {
	now := time.Now().UnixMilli()
	s.mu.Lock()
	if s.filters == nil || s.pushing {
		s.mu.Unlock()
		return
	}
	var vals []alwayson.PropertyValue
	undo := map[*property]alwayson.PushFilter{}
	for _, f := range s.figures {
		p := s.filters[f.Name]
		v := alwayson.PropertyValue{Name: f.Name, Value: f.Value, Time: now, Quality: alwayson.QualityGood}
		if p == nil {
			continue
		}
		before := p.filter
		if p.filter.Decide(p.sub, v) {
			undo[p] = before
			p.filter.Sent(v)
			vals = append(vals, v)
		}
	}
	s.pushing = len(vals) > 0
	s.mu.Unlock()
	if len(vals) == 0 {
		return
	}
	s.platform.Start(alwayson.Post, alwayson.PushRequest(s.name(), vals), pushTimeout, func(resp *alwayson.Response, err error) {
		if err == nil && !resp.Code.IsSuccess() {
			err = errors.New(strings.TrimSuffix(resp.Code.String()+": "+resp.Reason, ": "))
		}
		s.pushed(undo, err)
	})
}

// pushed works off the end of a push: after a failure its values are due again.
func (s *Self) pushed(undo map[*property]alwayson.PushFilter, err error) {
	s.mu.Lock()
	s.pushing = false
	if err != nil {
		for p, before := range undo {
			p.filter = before
		}
	}
	change := s.failing != (err != nil)
	s.failing = err != nil
	s.mu.Unlock()
	switch {
	case !change || errors.Is(err, alwayson.ErrNotConnected) || errors.Is(err, alwayson.ErrConnectionLost):
	case err != nil:
		s.opt.Logger.Warn("the platform does not take the bridge's own values", "thing", s.name(), "error", err)
	default:
		s.opt.Logger.Info("the platform takes the bridge's own values", "thing", s.name())
	}
}
