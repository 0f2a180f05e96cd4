package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"thingbridge/bridge/httpd"
	"thingbridge/bridge/permit"
	"thingbridge/edge/alwayson"
)

// Platform carries requests to the platform; edge.Client is one.
type Platform interface {
	// Start sends one request and calls done exactly once, with the response of
	// any status or with an error. done must not block.
	Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error))
}

// Local serves Things that are the bridge's own, in place of the platform.
type Local interface {
	// Serve answers a request for a Thing, within ctx. When the request is none
	// of its own it says so at once, and the request goes on to the rules and the
	// platform. It runs on the request's goroutine.
	Serve(ctx context.Context, method alwayson.Code, req *alwayson.Request) (resp *alwayson.Response, mine bool)
}

// Options say where to listen, whom to let in and what to let through. Listen
// and Platform are required.
type Options struct {
	Listen             string // host:port
	Token              string
	Username, Password string
	TLS                func() (*tls.Config, error) // nil: plain HTTP
	Allow              permit.Rules                // none: nothing is forwarded

	Platform Platform
	Local    Local        // nil: none
	Metrics  *Metrics     // nil: none are shown
	Logger   *slog.Logger // nil: silent

	MaxMessage  int           // bytes of a body (1 MiB)
	Timeout     time.Duration // for the platform's answer (30s)
	InFlight    int           // requests at a time (256)
	BodyBytes   int64         // of all bodies at a time (64 MiB, and never less than one body)
	Cells       int64         // of the tables of all requests at a time, and of all answers (2,000,000, and never less than one may have)
	Connections int           // at a time (512)
	StopTimeout time.Duration // (3s)
}

func (o *Options) fill() {
	setDefault(&o.MaxMessage, 1<<20)
	setDefault(&o.Timeout, 30*time.Second)
	setDefault(&o.InFlight, 256)
	setDefault(&o.BodyBytes, 64<<20)
	o.BodyBytes = max(o.BodyBytes, int64(o.MaxMessage))
	setDefault(&o.Cells, 2_000_000)
	setDefault(&o.Connections, 512)
	setDefault(&o.StopTimeout, 3*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](p *T, d T) {
	var zero T
	if *p == zero {
		*p = d
	}
}

// TokenHeader may carry the token, for clients made for the platform that can
// send nothing else. It is the header in which those send an application key.
const TokenHeader = "appKey"

// REST is the listener. It can be run once.
type REST struct {
	opt      Options
	handler  http.Handler
	server   *httpd.Server
	metrics  *Metrics
	episodes *episodes
	load     *load
	newest   atomic.Pointer[REST] // whose handlers serve since Use; nil: our own
}

// load is what is under way, also by handlers that serve no more.
type load struct {
	inFlight, bodies, cells, answers atomic.Int64

	reading chan struct{} // has room for those that are made into tables at the moment
}

// readers is how many bodies are made into tables at once.
const readers = 4

// New checks o and makes a REST that does nothing until Listen or Run.
func New(o Options) (*REST, error) {
	o.fill()
	access := httpd.Access{Listen: o.Listen, Token: o.Token, TokenHeader: TokenHeader, Username: o.Username, Password: o.Password}
	err := access.Check()
	if err == nil && o.Platform == nil {
		err = errors.New("no platform")
	}
	if err != nil {
		return nil, fmt.Errorf("rest: %w", err)
	}
	r := &REST{opt: o, metrics: o.Metrics, episodes: newEpisodes(o.Logger), load: &load{reading: make(chan struct{}, readers)}}
	if r.metrics == nil {
		if r.metrics, err = NewMetrics(nil); err != nil {
			return nil, fmt.Errorf("rest: %w", err)
		}
	}
	guard := httpd.NewGuard(access, r.turnedAway)
	r.handler = r.counted(guard.Wrap(http.HandlerFunc(r.serve)))
	r.server = &httpd.Server{
		Address: o.Listen, Handler: r, TLS: o.TLS, Connections: o.Connections, Refused: r.refusedConnection,
		AnswerTime: o.Timeout, StopTimeout: o.StopTimeout, Logger: o.Logger,
	}
	return r, nil
}

// Listen takes the address, so that Addr is known; Run does it where it was not done.
func (r *REST) Listen() error {
	if err := r.server.Listen(); err != nil {
		return fmt.Errorf("rest: %w", err)
	}
	return nil
}

// Addr is where it listens; nil before Listen.
func (r *REST) Addr() net.Addr { return r.server.Addr() }

// Prepare makes handlers that serve as o says, for Use. Address, TLS, connections
// and the time for an answer stay as they were. An error says what is wrong with o.
func (r *REST) Prepare(o Options) (*Prepared, error) {
	made, err := New(o)
	if err != nil {
		return nil, err
	}
	made.metrics, made.episodes, made.load = r.metrics, r.episodes, r.load
	return &Prepared{made}, nil
}

// Prepared are handlers that may be put to Use.
type Prepared struct{ rest *REST }

// Use has r serve with other handlers from now on. Requests under way end by
// those that they began with.
func (r *REST) Use(p *Prepared) { r.newest.Store(p.rest) }

// ServeHTTP implements http.Handler.
func (r *REST) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if made := r.newest.Load(); made != nil {
		r = made
	}
	r.handler.ServeHTTP(w, q)
}

// Close gives back the address of a REST that is not run.
func (r *REST) Close() { r.server.Close() }

// Run serves until ctx ends.
func (r *REST) Run(ctx context.Context) error {
	if err := r.Listen(); err != nil {
		return err
	}
	r.opt.Logger.Info("REST listens", "address", r.Addr().String(), "tls", r.opt.TLS != nil,
		"log_in", r.opt.Token != "" || r.opt.Password != "", "rules", len(r.opt.Allow))
	telling, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.episodes.run(telling)
	}()
	err := r.server.Run(ctx)
	stop()
	<-ended
	if err != nil {
		return fmt.Errorf("rest: %w", err)
	}
	return nil
}
