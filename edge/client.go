package edge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// Client keeps one authenticated connection to the platform, connects again when
// it is lost, binds the Things that are wanted on it and carries requests both
// ways. Its methods return at once, except Run and Call, and may be called from
// any goroutine, before Run, during it and after it.
type Client struct {
	opt     atomic.Pointer[Options] // for the next session; never nil
	h       Handler
	m       *metrics
	events  *executor
	things  *table
	ids     idSource
	running atomic.Bool
	current atomic.Pointer[session] // the authenticated one, nil for none
	renewal chan struct{}           // a new connection is wanted instead of what there is
	answers atomic.Int64            // cells of the large tables of answers that done was not told yet

	mu           sync.Mutex // guards the following
	renewWhy     string
	giveUp       context.CancelCauseFunc // ends the present attempt to connect; nil: there is none
	status       Status
	healthyUntil time.Time
	noCompress   bool
	told         map[string]bool // the troubles that were logged in this episode, at most mostTold
}

// NewClient checks the options, registers the metrics and returns a client that
// does nothing before Run. All that is wrong with the options is reported at once.
func NewClient(opt Options, h Handler) (*Client, error) {
	o, err := opt.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	if h == nil {
		return nil, errors.New("platform: no handler given")
	}
	c := &Client{h: h, events: newExecutor(), renewal: make(chan struct{}, 1)}
	c.opt.Store(&o)
	c.things = newTable(c.events, h)
	c.status.Since = time.Now()
	c.m, err = newMetrics(o.Registerer, c.gauges())
	return c, err
}

// gauges are the figures that are read off the client when somebody asks.
func (c *Client) gauges() gauges {
	return gauges{
		connected: func() float64 {
			if c.current.Load() != nil {
				return 1
			}
			return 0
		},
		sessionSeconds: func() float64 {
			if st := c.Status(); st.Connected {
				return time.Since(st.Since).Seconds()
			}
			return 0
		},
		queueBytes: func() float64 {
			if s := c.current.Load(); s != nil {
				return float64(s.out.bytes())
			}
			return 0
		},
		wanted:  func() float64 { n, _, _ := c.things.counts(); return float64(n) },
		bound:   func() float64 { _, n, _ := c.things.counts(); return float64(n) },
		refused: func() float64 { _, _, n := c.things.counts(); return float64(n) },
	}
}

// Want makes names part of the set of Things that should be bound. They are
// bound as soon as possible, again on each new connection, until Unwant. A name
// that starts with "*" is an identifier.
func (c *Client) Want(names ...string) { c.things.want(names) }

// Unwant takes names out of the set and unbinds those that are bound.
func (c *Client) Unwant(names ...string) { c.things.unwant(names) }

// Rebind has the name's BIND sent once more, at once, on the present connection,
// whatever its state. It does nothing for a name that is not wanted.
func (c *Client) Rebind(name string) { c.things.rebind(name) }

// BindState tells how a wanted Thing stands, and why if it is not bound. A name
// that is not wanted is Unbound.
func (c *Client) BindState(name string) (alwayson.BindState, string) { return c.things.state(name) }

// MaxBody is the largest encoded request body, in bytes, that Start takes.
func (c *Client) MaxBody() int { return maxBody(c.opt.Load()) }

// Start sends one request and calls done exactly once, on the goroutine of the
// Handler: with the platform's response, of any status, or with an error that
// wraps alwayson.ErrNotConnected (nothing was sent), ErrTooLarge or ErrBusy
// (nothing was sent either), ErrConnectionLost or ErrNoAnswer (the platform may
// have acted), or a decoding error. A timeout of 0 means Options.RequestTimeout.
// req must not be changed before done.
func (c *Client) Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error)) {
	if timeout <= 0 {
		timeout = c.opt.Load().RequestTimeout
	}
	err := alwayson.ErrNotConnected
	if s := c.current.Load(); s != nil {
		err = s.start(method, req, timeout, true, func(_ alwayson.Header, resp *alwayson.Response, err error) {
			c.tell(s.opt.MaxServingCells, done, resp, err)
		})
	}
	if err != nil {
		c.m.call(outcomeNotSent)
		c.events.post(func() { done(nil, err) })
	}
}

// tell has done called with an answer. What waits for that is bounded in cells:
// the platform can answer faster than is worked off.
func (c *Client) tell(most int, done func(*alwayson.Response, error), resp *alwayson.Response, err error) {
	cells := 0
	if resp != nil {
		cells = resp.Content.Unwrap().Table().Cells()
	}
	if cells <= fewCells {
		c.events.post(func() { done(resp, err) })
		return
	}
	n := int64(cells)
	if all := c.answers.Add(n); all > n && all > int64(most) {
		c.answers.Add(-n)
		err := fmt.Errorf("%w: there is no room for it; its tables have %d cells, and others with %d wait to be worked off", alwayson.ErrNoAnswer, n, all-n)
		c.events.post(func() { done(nil, err) })
		return
	}
	c.events.post(func() {
		done(resp, err)
		c.answers.Add(-n)
	})
}

// Call sends one request and waits for its answer, as Start does, until ctx
// ends; with a deadline in ctx that is the request's time. It must not be called
// from a Handler's method or a done function.
func (c *Client) Call(ctx context.Context, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, error) {
	type answer struct {
		resp *alwayson.Response
		err  error
	}
	timeout := c.opt.Load().RequestTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	if err := ctx.Err(); err != nil || timeout <= 0 {
		return nil, errors.Join(context.DeadlineExceeded, err)
	}
	got := make(chan answer, 1)
	c.Start(method, req, timeout, func(resp *alwayson.Response, err error) { got <- answer{resp, err} })
	select {
	case a := <-got:
		return a.resp, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Probe has answered called where the Handler is called, behind what it is to be told
// before: it shows that the Handler returns.
func (c *Client) Probe(answered func()) { c.events.post(answered) }

// Reconnect ends the present connection, if there is one, with reason as its
// cause; the client connects again after its usual back-off.
func (c *Client) Reconnect(reason string) {
	if s := c.current.Load(); s != nil {
		s.die(fmt.Errorf("reconnect: %s", reason))
	}
}

// Status tells how the client stands.
func (c *Client) Status() Status {
	c.mu.Lock()
	st := c.status
	c.mu.Unlock()
	if s := c.current.Load(); s != nil {
		st.RTT = time.Duration(s.rtt.Load())
	}
	st.Wanted, st.Bound, st.Refused = c.things.counts()
	return st
}
