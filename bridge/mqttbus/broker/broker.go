package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Options says where the broker listens and what it bears. A zero limit means
// the default that stands beside it.
type Options struct {
	Listen string // host:port; port 0 takes a free one. Default 127.0.0.1:0
	// Listener is used instead of Listen: a Unix socket, a fault injector.
	Listener net.Listener
	TLS      *tls.Config // for Listen and Listener; nil: none

	// Authenticate decides about a CONNECT; nil lets everybody in. Allow decides
	// about each topic and topic filter; nil allows all. Both may be called from
	// many goroutines.
	Authenticate func(clientID, username string, password []byte) bool
	Allow        func(clientID, username, topic string, write bool) bool

	Clients        int           // connections at a time (20000)
	PacketBytes    int           // largest packet (4 MiB)
	QueuePerClient int           // packets that wait for one connection (16384)
	InFlight       int           // unacknowledged messages kept per session, at most 65535 (16384)
	SessionExpiry  time.Duration // how long an absent client's session is kept (1h)

	Logger *slog.Logger // nil: silent
}

func (o *Options) fill() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	set(&o.Clients, 20_000)
	set(&o.PacketBytes, 4<<20)
	set(&o.QueuePerClient, 16_384)
	set(&o.InFlight, 16_384)
	if o.SessionExpiry == 0 {
		o.SessionExpiry = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Broker is one broker. It can be started once.
type Broker struct {
	opt    Options
	server *mqtt.Server

	started   atomic.Bool
	listener  atomic.Pointer[net.Listener]
	closeOnce sync.Once
	closeErr  error
}

// New makes a broker that does nothing until Start or Run.
func New(o Options) (*Broker, error) {
	o.fill()
	if o.InFlight < 1 || o.InFlight > 65535 {
		return nil, fmt.Errorf("broker: %d messages in flight; expected 1 to 65535", o.InFlight)
	}
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumClients = int64(o.Clients)
	limits.MaximumPacketSize = uint32(o.PacketBytes)
	limits.MaximumClientWritesPending = int32(o.QueuePerClient)
	limits.MaximumInflight = uint16(o.InFlight)
	limits.MaximumSessionExpiryInterval = uint32(o.SessionExpiry / time.Second)
	limits.MaximumMessageExpiryInterval = 0 // retained messages stay
	server := mqtt.New(&mqtt.Options{
		Capabilities:             limits,
		ClientNetReadBufferSize:  8 << 10,
		ClientNetWriteBufferSize: 8 << 10,
		Logger:                   slog.New(quiet{o.Logger.Handler()}),
		SysTopicResendInterval:   60,
	})
	if err := server.AddHook(&rules{opt: &o}, nil); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return &Broker{opt: o, server: server}, nil
}

// Start listens and serves until Close.
func (b *Broker) Start() error {
	if !b.started.CompareAndSwap(false, true) {
		return errors.New("broker: can be started once only")
	}
	l := b.opt.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", b.opt.Listen); err != nil {
			return fmt.Errorf("broker: %w", err)
		}
	}
	b.listener.Store(&l)
	if b.opt.TLS != nil {
		l = tls.NewListener(l, b.opt.TLS)
	}
	if err := b.server.AddListener(newEntrance(l, b.server)); err != nil {
		l.Close()
		return fmt.Errorf("broker: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		b.Close()
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// Close ends the listener and all connections. It may be called more than once.
func (b *Broker) Close() error {
	if !b.started.Load() {
		return nil
	}
	b.closeOnce.Do(func() { b.closeErr = b.server.Close() })
	return b.closeErr
}

// Run starts, waits for ctx to end, and closes.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}

// Addr is where it listens; nil before Start.
func (b *Broker) Addr() net.Addr {
	if l := b.listener.Load(); l != nil {
		return (*l).Addr()
	}
	return nil
}

// URL is Addr as the bridge's configuration writes it; empty before Start.
func (b *Broker) URL() string {
	a := b.Addr()
	switch {
	case a == nil:
		return ""
	case a.Network() == "unix":
		return "unix://" + a.String()
	case b.opt.TLS != nil:
		return "ssl://" + a.String()
	}
	return "tcp://" + a.String()
}

// Dropped counts the messages that did not fit into a client's queue or session.
func (b *Broker) Dropped() int64 {
	return atomic.LoadInt64(&b.server.Info.MessagesDropped) + atomic.LoadInt64(&b.server.Info.InflightDropped)
}

// Kick closes the connections of a client id, as a network failure would, and
// says whether there was one.
func (b *Broker) Kick(clientID string) bool {
	cl, ok := b.server.Clients.Get(clientID)
	if !ok || cl.Closed() {
		return false
	}
	// The client's Stop would have its reader take the end for an orderly one, now
	// and then: without a will.
	_ = cl.Net.Conn.Close()
	return true
}

// rules joins Options' decisions to the library.
type rules struct {
	mqtt.HookBase
	opt *Options
}

func (*rules) ID() string { return "rules" }

func (*rules) Provides(what byte) bool {
	return what == mqtt.OnConnectAuthenticate || what == mqtt.OnACLCheck
}

func (r *rules) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	if r.opt.Authenticate == nil {
		return true
	}
	return r.opt.Authenticate(pk.Connect.ClientIdentifier, string(pk.Connect.Username), pk.Connect.Password)
}

func (r *rules) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if r.opt.Allow == nil {
		return true
	}
	return r.opt.Allow(cl.ID, string(cl.Properties.Username), topic, write)
}

// quiet shows the library's errors only, and everything at debug level: it
// warns of each client that goes without a word.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, lowered(level))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(g string) slog.Handler      { return quiet{q.Handler.WithGroup(g)} }

func lowered(level slog.Level) slog.Level {
	if level >= slog.LevelError {
		return level
	}
	return slog.LevelDebug
}
