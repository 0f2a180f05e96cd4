package edgethings

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"thingbridge/edge/alwayson"
)

// Platform is where the Things are bound; edge.Client is one. All methods return
// at once. done must not block.
type Platform interface {
	Want(names ...string)
	Unwant(names ...string)
	Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error))
}

// Names gives each name to one holder; bridge.Bridge is one. The error of Reserve
// says for people why not.
type Names interface {
	Reserve(name, holder string) error
	Release(name string)
}

// Store keeps registrations over a restart; store.Store is one.
type Store interface {
	SaveEdgeThing(name string, data []byte) error
	DeleteEdgeThing(name string) error
	LoadEdgeThings(each func(name string, data []byte) error) error
}

// Defaults of Options; a zero field there means the value here.
const (
	DefaultMax           = 1000
	DefaultCalls         = 1024
	DefaultCallsPerThing = 16
	DefaultMaxBody       = 1 << 20
	DefaultBytes         = 64 << 20
	DefaultStopTimeout   = 5 * time.Second
)

// Limits are the bounds that SetLimits changes. A zero field means the default.
type Limits struct {
	Calls         int // requests in flight to agents
	CallsPerThing int // the same for one Thing
	MaxBody       int // bytes of an agent's answer
}

func (l *Limits) fill() {
	setDefault(&l.Calls, DefaultCalls)
	setDefault(&l.CallsPerThing, DefaultCallsPerThing)
	setDefault(&l.MaxBody, DefaultMaxBody)
}

// Options say what a Manager joins and within which bounds. Names is required.
type Options struct {
	Names Names
	Store Store           // nil: registrations live in memory only
	Hosts []string        // names, addresses and CIDR ranges of agents; none: this machine
	Own   func() []string // host:port of the bridge's own listeners at present, which are no agents; nil: none
	TLS   func() (*tls.Config, error)

	Max int // registrations
	Limits
	Bytes       int           // of all requests in flight, and of all answers, at least one
	StopTimeout time.Duration // for what is in flight when Run is told to stop
	Version     string        // the bridge's, for LocalEms

	Metrics *Metrics     // of NewMetrics, for this Manager alone; nil: counted and not shown
	Logger  *slog.Logger // nil: silent
}

func (o *Options) fill() error {
	if o.Names == nil {
		return errors.New("edge things: no names")
	}
	setDefault(&o.Max, DefaultMax)
	o.Limits.fill()
	setDefault(&o.Bytes, DefaultBytes)
	setDefault(&o.StopTimeout, DefaultStopTimeout)
	if o.Own == nil {
		o.Own = func() []string { return nil }
	}
	if o.TLS == nil {
		o.TLS = func() (*tls.Config, error) { return &tls.Config{MinVersion: tls.VersionTLS12}, nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
