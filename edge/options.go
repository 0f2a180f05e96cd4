package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/edge/alwayson"
)

// Options say where the platform is and how to treat it. URL and AppKey are
// needed; every other zero field means its default.
type Options struct {
	// URL of the platform's WebSocket, "ws://" or "wss://" and usually with the
	// path /Thingworx/WS.
	URL string
	// AppKey gives the application key. It is called afresh for each attempt to
	// connect, so that a corrected file or a rotated key is taken up by itself.
	AppKey func(ctx context.Context) (string, error)
	// Gateway stands in every BIND and UNBIND; nil when the gateway has no type.
	Gateway *alwayson.Gateway

	// TLS gives the configuration for a wss URL, afresh for each attempt: own
	// certificate authorities (RootCAs), a client certificate, ServerName (empty:
	// the URL's host) and MinVersion are set there. Nil: the system's authorities
	// and at least TLS 1.2. The client never switches verification off by itself.
	TLS func() (*tls.Config, error)
	// Proxy gives the proxy for the upgrade request, or nil for none;
	// http.ProxyFromEnvironment and http.ProxyURL fit. "http" and "https" proxies
	// are asked with CONNECT, with basic authentication if the URL holds a user.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial opens the network connection to the platform or the proxy; nil: TCP
	// with keep-alive. Tests put net.Pipe here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Compression offers permessage-deflate. If the platform answers the offer in
	// a way that cannot be used, the client connects without it from then on.
	Compression bool

	ConnectTimeout time.Duration // TCP, TLS, proxy and upgrade together; default 20 s
	AuthTimeout    time.Duration // wait for the answer to AUTH; default 10 s
	RequestTimeout time.Duration // wait for the answer to BIND, UNBIND and own questions, and for calls that name no time; default 10 s
	AnswerLimit    time.Duration // a request of the platform that nobody answered by then is answered GATEWAY_TIMEOUT; default 28 s
	PingInterval   time.Duration // between pings; default 20 s
	PongTimeout    time.Duration // nothing received so long after a ping: the peer is dead; at most PingInterval, default 10 s
	WriteTimeout   time.Duration // longest time for one write to the network; default 10 s
	LeaveTimeout   time.Duration // longest time for UNBIND and close when Run ends; default 10 s
	SyncWait       time.Duration // wait for the platform to begin the synchronisation after a bind; default 5 s
	HealthyAfter   time.Duration // a connection that lived so long resets the back-off; default 30 s

	MaxMessage int // largest whole message in bytes, both ways; default 1 MiB
	Chunk      int // largest WebSocket message that is sent, 512 to 65,535; default 8192
	QueueBytes int // room for requests that wait to be written; default 8 MiB
	MaxCalls   int // requests in flight to the platform; default 16,384
	MaxServing int // requests from the platform being served; over it SERVICE_UNAVAILABLE; default 1024
	// MaxServingThing is how many of these may be for one Thing, so that a flood for
	// one leaves room for the others; default a quarter of MaxServing.
	MaxServingThing int
	// MaxServingCells is how many cells the tables of these may have together, where a
	// request has more than some hundred; at least those of one message; default 4,000,000.
	// The same holds for the platform's answers until done has been called.
	MaxServingCells int
	// MaxServingBytes is how many bytes these may have together, where one has more
	// than some kilobytes; at least those of one message; default 64 MiB.
	MaxServingBytes  int
	BindBatch        int // most names in one BIND or UNBIND; default 1000
	MaxSubscriptions int // of one Thing that are kept; default 10,000
	MaxAsking        int // questions for subscriptions in flight; default 32

	Limits alwayson.Limits // what decoding one message may cost

	ConnectBackoff Backoff // between attempts to connect; default 1 s to 15 s, since a plant waits for it
	KeyBackoff     Backoff // after a refused or unreadable key; default 15 s to 5 min
	BindBackoff    Backoff // before refused names are tried again; default 5 s to 60 s
	SyncBackoff    Backoff // before a failed question for subscriptions is repeated; default 1 s to 2 min

	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
}

const (
	minChunk = alwayson.MinChunkSize
	maxChunk = alwayson.MaxChunkSize
)

// withDefaults returns o with its zero fields filled, or what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.ConnectTimeout, 20*time.Second)
	setDefault(&o.AuthTimeout, 10*time.Second)
	setDefault(&o.RequestTimeout, 10*time.Second)
	setDefault(&o.AnswerLimit, 28*time.Second)
	setDefault(&o.PingInterval, 20*time.Second)
	setDefault(&o.PongTimeout, 10*time.Second)
	o.PongTimeout = min(o.PongTimeout, o.PingInterval)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.LeaveTimeout, 10*time.Second)
	setDefault(&o.SyncWait, 5*time.Second)
	setDefault(&o.HealthyAfter, 30*time.Second)
	setDefault(&o.MaxMessage, 1<<20)
	setDefault(&o.Chunk, 8192)
	setDefault(&o.QueueBytes, 8<<20)
	setDefault(&o.MaxCalls, 16384)
	setDefault(&o.MaxServing, 1024)
	setDefault(&o.MaxServingThing, max(1, o.MaxServing/4))
	setDefault(&o.MaxServingCells, 4_000_000)
	setDefault(&o.MaxServingBytes, 64<<20)
	setDefault(&o.BindBatch, 1000)
	setDefault(&o.MaxAsking, 32)
	setDefault(&o.MaxSubscriptions, 10_000)
	o.ConnectBackoff = o.ConnectBackoff.orElse(Backoff{Min: time.Second, Max: 15 * time.Second, Factor: 2, Jitter: 0.3})
	o.KeyBackoff = o.KeyBackoff.orElse(Backoff{Min: 15 * time.Second, Max: 5 * time.Minute, Factor: 2, Jitter: 0.2})
	o.BindBackoff = o.BindBackoff.orElse(Backoff{Min: 5 * time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2})
	o.SyncBackoff = o.SyncBackoff.orElse(Backoff{Min: time.Second, Max: 2 * time.Minute, Factor: 2, Jitter: 0.3})
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func setDefault[T ~int | ~int64](p *T, d T) {
	if *p == 0 {
		*p = d
	}
}

// validate reports everything that is wrong with o, whose defaults are filled.
func (o *Options) validate() error {
	var errs []error
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("url: %w", err))
	case u.Scheme != "ws" && u.Scheme != "wss":
		errs = append(errs, fmt.Errorf("url %q: expected ws:// or wss://", u.Redacted()))
	case u.Hostname() == "":
		errs = append(errs, fmt.Errorf("url %q: no host", u.Redacted()))
	case u.User != nil:
		errs = append(errs, errors.New("url: a user is not allowed here; the application key identifies the bridge"))
	}
	if o.AppKey == nil {
		errs = append(errs, errors.New("application key: none given"))
	}
	if g := o.Gateway; g != nil && (g.Name == "" || g.Type == "") {
		errs = append(errs, errors.New("gateway: name and type must both be given"))
	}
	if o.Chunk < minChunk || o.Chunk > maxChunk {
		errs = append(errs, fmt.Errorf("chunk %d: expected %d to %d bytes", o.Chunk, minChunk, maxChunk))
	}
	if o.MaxMessage < o.Chunk {
		errs = append(errs, fmt.Errorf("maximum message %d: expected at least the chunk size, %d", o.MaxMessage, o.Chunk))
	}
	if o.BindBatch < 1 || o.BindBatch > 65535 {
		errs = append(errs, fmt.Errorf("bind batch %d: expected 1 to 65535 names", o.BindBatch))
	}
	for name, n := range map[string]int{"queue": o.QueueBytes, "calls": o.MaxCalls, "serving": o.MaxServing, "serving for one Thing": o.MaxServingThing, "cells": o.MaxServingCells, "bytes": o.MaxServingBytes, "asking": o.MaxAsking, "subscriptions": o.MaxSubscriptions} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s %d: expected a positive number", name, n))
		}
	}
	for name, d := range map[string]time.Duration{"connect timeout": o.ConnectTimeout, "auth timeout": o.AuthTimeout,
		"request timeout": o.RequestTimeout, "answer limit": o.AnswerLimit, "ping interval": o.PingInterval, "pong timeout": o.PongTimeout,
		"write timeout": o.WriteTimeout, "leave timeout": o.LeaveTimeout, "sync wait": o.SyncWait} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %s: expected a positive time", name, d))
		}
	}
	return errors.Join(errs...)
}
