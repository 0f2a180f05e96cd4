package simulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Sync says how the simulator synchronises a bound Thing.
type Sync string

// Ways of synchronisation.
const (
	SyncOld  Sync = "old"  // NotifyPropertyUpdate
	SyncNew  Sync = "new"  // SynchronizeModelState, and NotifyPropertyUpdate where that fails
	SyncBoth Sync = "both" // SynchronizeModelState and NotifyPropertyUpdate
)

// BindRefusal says what a refused name does to the others of its BIND. The
// answer is an error either way.
type BindRefusal string

// Kinds of refusal.
const (
	RefuseWhole   BindRefusal = "whole"   // none of the names is bound
	RefusePartial BindRefusal = "partial" // the good names are bound
)

// Options configure a Platform. The zero value of a field means its default.
type Options struct {
	// Listen is the address to listen on; default "127.0.0.1:0".
	Listen string
	// Listener is used instead of Listen when it is not nil. With TLSCert it
	// is wrapped; the Platform closes it.
	Listener net.Listener
	// AppKey is the application key that edges and REST callers must present.
	// Empty: any key, and none, is accepted.
	AppKey string
	// ThingsFile is the path of a YAML or JSON file of Things; Things are more of them.
	ThingsFile string
	Things     []ThingSpec
	// Strict refuses to invent Things: only those of the file or created by a
	// service exist. Otherwise an unknown bound name becomes a RemoteThing whose
	// bindings come from its GetMetadata.
	Strict      bool
	Sync        Sync        // default SyncOld
	BindRefusal BindRefusal // default RefuseWhole
	// IdleTimeout closes a connection on which nothing came; the simulator pings
	// after three quarters of it. Default 60 s.
	IdleTimeout time.Duration
	// AnswerLimit is how long a call waits for the edge. Default 30 s.
	AnswerLimit time.Duration
	// AuthWait is how long a connection may take until its AUTH succeeded. Default 15 s.
	AuthWait time.Duration
	// HoldDead is how long a connection that ended without CLOSE keeps its
	// names. Default 0.
	HoldDead time.Duration
	// TLSCert and TLSKey are paths of PEM files; both or neither.
	TLSCert, TLSKey string
	// MaxMessage bounds a whole message in bytes, both ways, and a REST body.
	// Default 1 MiB. Chunk is the largest WebSocket message sent. Default 8192.
	MaxMessage, Chunk int
	// Compression accepts permessage-deflate where it is offered.
	Compression bool
	// HistoryLimit bounds the values kept per property, PushLimit the values
	// kept per Thing in the push log, EventLimit the events kept per Thing.
	// Default 10,000 each; below 0: none.
	HistoryLimit, PushLimit, EventLimit int
	// Logger takes one line per change of state; default: none.
	Logger *slog.Logger
}

const (
	readHeaderWait = 10 * time.Second // a bare TCP connection is reaped after this
	closeWait      = time.Second      // how long an edge may take to answer a CLOSE
	writeWait      = 10 * time.Second // how long one write may take
	outLimit       = 64 << 20         // bytes waiting to be written on one connection
	syncWindow     = 32               // Things of one connection being synchronised at a time
	firstRequestID = 0x40000000       // never meets an edge's own ids
	setTimeout     = 50 * time.Second // how long an incomplete multipart message is kept

	multipartHeader = 6 // bytes a chunk's header is longer than a message's
)

// withDefaults fills the zero fields of o and reports every bad one.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(name string, value any, want string) {
		errs = append(errs, fmt.Errorf("option %s: %v; expected %s", name, value, want))
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Sync == "" {
		o.Sync = SyncOld
	}
	if o.Sync != SyncOld && o.Sync != SyncNew && o.Sync != SyncBoth {
		bad("Sync", o.Sync, "old, new or both")
	}
	if o.BindRefusal == "" {
		o.BindRefusal = RefuseWhole
	}
	if o.BindRefusal != RefuseWhole && o.BindRefusal != RefusePartial {
		bad("BindRefusal", o.BindRefusal, "whole or partial")
	}
	for _, d := range []struct {
		name string
		at   *time.Duration
		def  time.Duration
	}{
		{"IdleTimeout", &o.IdleTimeout, time.Minute},
		{"AnswerLimit", &o.AnswerLimit, 30 * time.Second},
		{"AuthWait", &o.AuthWait, 15 * time.Second},
		{"HoldDead", &o.HoldDead, 0},
	} {
		if *d.at == 0 {
			*d.at = d.def
		}
		if *d.at < 0 {
			bad(d.name, *d.at, "a positive duration")
		}
	}
	for _, n := range []struct {
		name          string
		at            *int
		def, min, max int
	}{
		{"MaxMessage", &o.MaxMessage, 1 << 20, 1024, 1 << 30},
		{"Chunk", &o.Chunk, 8192, 512, 65535},
	} {
		if *n.at == 0 {
			*n.at = n.def
		}
		if *n.at < n.min || *n.at > n.max {
			bad(n.name, *n.at, fmt.Sprintf("%d to %d bytes", n.min, n.max))
		}
	}
	for _, n := range []*int{&o.HistoryLimit, &o.PushLimit, &o.EventLimit} {
		if *n == 0 {
			*n = 10000
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		bad("TLSCert, TLSKey", "one without the other", "both or neither")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(errs...)
}

// listen opens the listener that o asks for.
func (o Options) listen() (net.Listener, error) {
	var conf *tls.Config
	if o.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("load TLS certificate: %w", err)
		}
		conf = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	}
	ln := o.Listener
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", o.Listen); err != nil {
			return nil, fmt.Errorf("listen for edges and REST: %w", err)
		}
	}
	if conf != nil {
		ln = tls.NewListener(ln, conf)
	}
	return ln, nil
}
