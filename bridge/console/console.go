package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"thingbridge/bridge/httpd"
)

// Options says where to listen and whom to let in. Source is required.
type Options struct {
	Listen             string // host:port; empty: 127.0.0.1:8480
	Token              string
	Username, Password string
	MetricsPublic      bool
	AllowCalls         bool     // serve POST …/services/…
	Pprof              bool     // serve Go's profiles under /debug/pprof/
	Hosts              []string // names, besides our own, that the Host header may have

	Source   Source
	History  *History            // of Source; nil: one that is always empty
	Gatherer prometheus.Gatherer // nil: no /metrics
	Logger   *slog.Logger        // nil: silent

	Connections int           // at a time (256)
	Calls       int           // at a time (64)
	Traces      int           // at a time (8)
	BodyLimit   int64         // bytes (1 MiB)
	CallTimeout time.Duration // (30s)
	StopTimeout time.Duration // (3s)
}

// DefaultListen is the address when none is given.
const DefaultListen = "127.0.0.1:8480"

// ErrOpen is the refusal to listen beyond loopback without authentication.
var ErrOpen = httpd.ErrOpen

func (o *Options) fill() {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.Connections == 0 {
		o.Connections = 256
	}
	if o.Calls == 0 {
		o.Calls = 64
	}
	if o.Traces == 0 {
		o.Traces = 8
	}
	if o.History == nil {
		o.History = NewHistory(o.Source)
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = 1 << 20
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) access() httpd.Access {
	return httpd.Access{Listen: o.Listen, Token: o.Token, Username: o.Username, Password: o.Password, Hosts: o.Hosts, PageHeader: pageHeader}
}

// Console is the HTTP server. It can be run once.
type Console struct {
	opt     Options
	guard   *httpd.Guard
	handler http.Handler
	calls   chan struct{}
	traces  chan struct{}
	closing chan struct{} // closed when traces are to end
	close   func()        // closes closing, once
	server  *httpd.Server
	newest  atomic.Pointer[Console] // whose handlers serve since Use; nil: our own
}

// New checks o and makes a Console that does nothing until Listen or Run.
func New(o Options) (*Console, error) {
	o.fill()
	access := o.access()
	err := access.Check()
	if err == nil && o.Source == nil {
		err = errors.New("no source")
	}
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c := &Console{opt: o, calls: make(chan struct{}, o.Calls), traces: make(chan struct{}, o.Traces), closing: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closing) })
	c.guard = httpd.NewGuard(access, func(w http.ResponseWriter, _ *http.Request, status int, text string) { fail(w, status, text) })
	c.handler = c.routes()
	c.server = &httpd.Server{
		Address: o.Listen, Handler: c, Connections: o.Connections,
		AnswerTime: o.CallTimeout, StopTimeout: o.StopTimeout, Logger: o.Logger,
	}
	return c, nil
}

// Listen takes the address, so that Addr is known; Run does it where it was not done.
func (c *Console) Listen() error {
	if err := c.server.Listen(); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// Addr is where it listens; nil before Listen.
func (c *Console) Addr() net.Addr { return c.server.Addr() }

// Run serves until ctx ends.
func (c *Console) Run(ctx context.Context) error {
	if err := c.Listen(); err != nil {
		return err
	}
	c.opt.Logger.Info("console listens", "address", c.Addr().String(), "log_in", c.opt.Token != "" || c.opt.Password != "")
	stop := context.AfterFunc(ctx, func() { c.present().close() })
	defer stop()
	if err := c.server.Run(ctx); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

func (c *Console) routes() http.Handler {
	inner := http.NewServeMux()
	inner.HandleFunc("/api/v1/status", only("GET", c.status))
	inner.HandleFunc("/api/v1/advice", only("GET", c.advice))
	inner.HandleFunc("/api/v1/config", only("GET", c.settings))
	inner.HandleFunc("/api/v1/calls", only("GET", c.callsInFlight))
	inner.HandleFunc("/api/v1/history", only("GET", c.history))
	inner.HandleFunc("/api/v1/trace", only("GET", c.trace))
	inner.HandleFunc("/api/v1/things", only("GET", c.things))
	inner.HandleFunc("/api/v1/things/{name}", only("GET", c.thing))
	inner.HandleFunc("/api/v1/things/{name}/services/{service}", only("POST", c.call))
	c.servePprof(inner)
	c.operating(inner)
	inner.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "nothing here; see / for people, /api/v1/status, /api/v1/things, /metrics, /healthz and /readyz for programs")
	})
	guarded := c.guarded(inner)

	outer := http.NewServeMux()
	outer.HandleFunc("/healthz", only("GET", c.healthz))
	outer.HandleFunc("/readyz", only("GET", c.readyz))
	if c.opt.Gatherer != nil {
		metrics := promhttp.HandlerFor(c.opt.Gatherer, promhttp.HandlerOpts{
			MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
			ErrorLog: slog.NewLogLogger(c.opt.Logger.Handler(), slog.LevelWarn),
		})
		if !c.opt.MetricsPublic {
			metrics = c.guarded(metrics)
		}
		outer.HandleFunc("/metrics", only("GET", metrics.ServeHTTP))
	}
	outer.HandleFunc("/{$}", only("GET", c.page("index.html")))
	outer.HandleFunc("/page/{file}", only("GET", func(w http.ResponseWriter, r *http.Request) { c.page(r.PathValue("file"))(w, r) }))
	outer.Handle("/", guarded)
	return withHeaders(outer)
}

// only answers other methods 405; HEAD goes where GET goes.
func only(method string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", method)
			fail(w, http.StatusMethodNotAllowed, "only "+method+" is served here")
			return
		}
		next(w, r)
	}
}

// guarded gives next behind the guard, with a bound on the body.
func (c *Console) guarded(next http.Handler) http.Handler {
	return c.guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, c.opt.BodyLimit)
		next.ServeHTTP(w, r)
	}))
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
