package bridge

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Defaults of Options; a zero field there means the value here.
const (
	DefaultThings          = 100_000
	DefaultCalls           = 1024
	DefaultCallsPerThing   = 16
	DefaultWaitingPerThing = 1000
	DefaultTimeout         = 10 * time.Second
	DefaultPushTimeout     = 30 * time.Second
	DefaultPushes          = 256
	DefaultStopTimeout     = 5 * time.Second
)

// Limits bound what devices and the platform can make the bridge hold. A zero
// field means its default, except AnnouncementsPerSecond, where it means no limit.
type Limits struct {
	Things                 int     // Things in the registry
	AnnouncementsPerSecond float64 // announcements that add or change a Thing; more of them wait
	Calls                  int     // calls, writes and reads in flight, over all Things
	CallsPerThing          int     // the same for one Thing
	WaitingPerThing        int     // messages kept for a Thing that is not announced yet
	Pushes                 int     // pushes in flight to the platform, over all Things
}

// Provision says whether Things that do not exist on the platform are created.
type Provision struct {
	Enabled  bool
	Template string // ThingTemplate where the device names none; "" RemoteThing
}

// Options say what a Bridge joins and within which bounds. Engine and Outbox
// are required.
type Options struct {
	Engine *mapping.Engine
	Outbox Outbox
	Store  Store // nil: the registry lives in memory only

	Limits Limits
	// Globs with * and ?. AllowX empty allows all; DenyX wins. Thing names are
	// compared without case, as the platform does, service names with case.
	AllowThings, DenyThings     []string
	AllowServices, DenyServices []string
	AllowPlatform               []string // services of its own Thing that a device may call; empty: none

	Provision      Provision
	DefaultTimeout time.Duration // of a call whose service names none
	PushTimeout    time.Duration // the platform's time to answer a push
	ClientID       string        // names the bridge's own topics, thingbridge/{ClientID}/…; "" none, and no marker
	ReplayRate     float64       // messages per second by which a backlog shrinks, in all; 0 no limit
	Watchdog       time.Duration // connected, values in flight, nothing answered for so long: reconnect; 0 never
	StopTimeout    time.Duration // for what is in flight when Run is told to stop

	Registerer prometheus.Registerer // nil: metrics are counted but not registered
	Logger     *slog.Logger          // nil: slog.Default
}

// Reconnector is what a Platform or a Bus may offer beside: to drop its
// connection and make a new one. A Platform is asked when it takes everything and
// answers nothing, a Bus when messages could not be kept and must come again.
type Reconnector interface {
	Reconnect(reason string)
}

// Refresher is what a Bus may offer beside: to have the broker send what it
// retains under these topic filters once more. Both methods return at once. A
// Subscribe after it is told by BusUp only when both are acknowledged.
type Refresher interface {
	Refresh(filters ...string)
	// Refreshed calls done once the broker has answered all that Refresh was
	// given before, on the present connection; never, if that ends first. done
	// runs on the bus's goroutine and must not block.
	Refreshed(done func())
}

// SessionKeeper is what a Bus may offer beside: whether the broker had kept the
// session when the present connection was made. A broker that did not may have
// lost its retained messages too.
type SessionKeeper interface {
	SessionKept() bool
}

// Syncer is what a Store may offer beside: to wait until what was saved is durable.
type Syncer interface {
	Sync() error
}

func (o *Options) setDefaults() {
	setDefault(&o.Limits.Things, DefaultThings)
	setDefault(&o.Limits.Calls, DefaultCalls)
	setDefault(&o.Limits.CallsPerThing, DefaultCallsPerThing)
	setDefault(&o.Limits.WaitingPerThing, DefaultWaitingPerThing)
	setDefault(&o.Limits.Pushes, DefaultPushes)
	setDefault(&o.DefaultTimeout, DefaultTimeout)
	setDefault(&o.PushTimeout, DefaultPushTimeout)
	setDefault(&o.StopTimeout, DefaultStopTimeout)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Provision.Template == "" {
		o.Provision.Template = "RemoteThing"
	}
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (o *Options) check() error {
	if o.Engine == nil {
		return errors.New("bridge options: no Engine")
	}
	if o.Outbox == nil {
		return errors.New("bridge options: no Outbox")
	}
	return nil
}

// noPlatform and noBus stand where Attach has not put anything yet, so that
// events before it find somebody to talk to.
type noPlatform struct{}

func (noPlatform) Want(...string)   {}
func (noPlatform) Unwant(...string) {}
func (noPlatform) Rebind(string)    {}
func (noPlatform) MaxBody() int     { return 1 << 20 }
func (noPlatform) Start(_ alwayson.Code, _ *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	done(nil, alwayson.ErrNotConnected)
}

type noBus struct{}

func (noBus) Subscribe(...string)   {}
func (noBus) Unsubscribe(...string) {}
func (noBus) Between(func())        {}
func (noBus) Publish(_ Publication, done func(error)) {
	if done != nil {
		done(errNoBus)
	}
}

var errNoBus = errors.New("no connection to the broker")
