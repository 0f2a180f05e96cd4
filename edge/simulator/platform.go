package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Platform is a simulated ThingWorx platform. All methods may be called from
// any goroutine.
type Platform struct {
	opts   Options
	log    *slog.Logger
	ln     net.Listener
	scheme string // suffix of http and ws: "s" with TLS
	stats  counters
	faults faults
	conwg  sync.WaitGroup // serving connections

	mu         sync.RWMutex // guards the following
	things     map[string]*thing
	byID       map[string]*thing // by identifier
	templates  map[string]*template
	shapes     map[string]*shape
	endpoints  map[string]*endpoint
	conns      map[*conn]struct{}
	held       map[*conn]*time.Timer // dead connections that keep their names
	lastConnID uint64
	closing    bool
}

// New makes a Platform and opens its listener; Run serves it. A Platform that
// is never run must be closed.
func New(o Options) (*Platform, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Platform{
		opts: o, log: o.Logger,
		things: map[string]*thing{}, byID: map[string]*thing{}, templates: map[string]*template{}, shapes: map[string]*shape{},
		endpoints: map[string]*endpoint{}, conns: map[*conn]struct{}{}, held: map[*conn]*time.Timer{},
	}
	p.installBuiltins()
	specs, shapes, err := o.loadThings()
	if err != nil {
		return nil, err
	}
	if err := p.addSpecs(specs, shapes); err != nil {
		return nil, err
	}
	if p.ln, err = o.listen(); err != nil {
		return nil, err
	}
	if o.TLSCert != "" {
		p.scheme = "s"
	}
	return p, nil
}

// Addr is the address the Platform listens on.
func (p *Platform) Addr() net.Addr { return p.ln.Addr() }

// URL is the base of the REST interface: http://127.0.0.1:8443/Thingworx.
func (p *Platform) URL() string { return "http" + p.scheme + "://" + p.Addr().String() + "/Thingworx" }

// WSURL is the address that an edge connects to.
func (p *Platform) WSURL() string {
	return "ws" + p.scheme + "://" + p.Addr().String() + "/Thingworx/WS"
}

// Close releases the listener of a Platform that is not run.
func (p *Platform) Close() error { return p.ln.Close() }

// Run serves until ctx ends, then says CLOSE to every edge, waits for the
// connections to end and returns nil. It returns an error when the listener fails.
func (p *Platform) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           p.handler(),
		ReadHeaderTimeout: readHeaderWait,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { failed <- srv.Serve(p.ln) })
	p.log.Info("platform serves", "rest", p.URL(), "edges", p.WSURL())
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	p.shut()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		_ = srv.Close()
	}
	serving.Wait()
	p.conwg.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve platform on %s: %w", p.Addr(), err)
	}
	return nil
}

// shut closes every connection and lets no new one in.
func (p *Platform) shut() {
	p.mu.Lock()
	p.closing = true
	var conns, dead []*conn
	for c := range p.conns {
		conns = append(conns, c)
	}
	for c, timer := range p.held {
		if timer.Stop() {
			dead = append(dead, c)
		}
	}
	p.mu.Unlock()
	p.ClearFaults()
	for _, c := range conns {
		c.close(websocket.CloseGoingAway, "the platform stops")
	}
	for _, c := range dead {
		p.dropEndpoints(c, false)
	}
}

// enter registers a new connection; false when the platform stops.
func (p *Platform) enter(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.lastConnID++
	c.id = p.lastConnID
	p.conns[c] = struct{}{}
	p.stats.connections.Add(1)
	p.conwg.Add(1)
	return true
}

func (p *Platform) leave(c *conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	p.conwg.Done()
}
