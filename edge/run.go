package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// Run connects, and connects again, until ctx ends; then it leaves in order
// (see the package comment) and returns nil, or what went wrong in leaving. It
// can be called once.
func (c *Client) Run(ctx context.Context) error {
	if c.running.Swap(true) {
		return ErrRunning
	}
	defer c.events.wait()
	for ctx.Err() == nil {
		s, err := c.attempt(ctx)
		if err == nil {
			var left error
			if err, left = c.live(ctx, s); ctx.Err() != nil {
				return left
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if c.renewed() || errors.Is(err, errRenewed) {
			continue
		}
		wait := c.failed(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.renewal:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

// connect makes one attempt: key, dial, upgrade, AUTH.
func (c *Client) connect(ctx context.Context) (*session, error) {
	opt := c.opt.Load()
	key, err := opt.AppKey(ctx)
	if err != nil {
		return nil, &AuthError{Err: err}
	}
	if key == "" || strings.ContainsAny(key, "\r\n\x00") {
		return nil, &AuthError{Err: errors.New("it is empty or holds a line break")}
	}
	ws, wire, err := c.dial(ctx, opt, key)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	number := c.status.Session + 1
	c.mu.Unlock()
	s := newSession(opt, c.m, number, &c.ids, c.serve)
	s.newest = &c.opt
	s.open(ws, wire)
	if err := s.authenticate(ctx, key); err != nil {
		s.die(err)
		s.end(func(error) {})
		return nil, err
	}
	return s, nil
}

// dial opens the WebSocket, without compression if the platform's answer to the
// offer cannot be used.
func (c *Client) dial(ctx context.Context, opt *Options, key string) (*websocket.Conn, *coalescer, error) {
	c.mu.Lock()
	compress := opt.Compression && !c.noCompress
	c.mu.Unlock()
	u, err := url.Parse(opt.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("url: %w", err)
	}
	d := dialer{opt: opt, url: u}
	ws, wire, err := d.dial(ctx, key, compress)
	if !errors.Is(err, errCompression) {
		return ws, wire, err
	}
	c.mu.Lock()
	c.noCompress = true
	c.mu.Unlock()
	opt.Logger.Warn("connecting without compression from now on", "error", err)
	return d.dial(ctx, key, false)
}

// live runs an authenticated session to its end. left is what went wrong when
// ctx ended and the session was left in order.
func (c *Client) live(ctx context.Context, s *session) (cause, left error) {
	c.up(s)
	stop := make(chan struct{})
	b := &binder{t: c.things, s: s, opt: s.opt, m: c.m, log: s.log, stop: stop}
	binderDone := make(chan struct{})
	go func() {
		defer close(binderDone)
		b.run()
	}()
	var renewed error
	select {
	case <-s.done:
	case <-c.renewal:
		s.leaving.Store(true)
		close(stop)
		<-binderDone
		renewed = c.part(s)
	case <-ctx.Done():
		s.leaving.Store(true)
		close(stop)
		<-binderDone
		left = c.leave(s, b)
	}
	<-binderDone
	cause = s.end(func(cause error) { c.down(s, cause) })
	if errors.Is(cause, errLeft) {
		cause = renewed
	}
	c.events.post(func() { c.h.PlatformDown(s.number, cause) })
	return cause, left
}

// leave takes the session down in order: UNBIND, what is still unanswered, CLOSE.
func (c *Client) leave(s *session, b *binder) error {
	limit := time.NewTimer(s.opt.LeaveTimeout)
	defer limit.Stop()
	err := c.unbindAll(s, b, limit.C)
	s.abandon("the bridge is stopping")
	return errors.Join(err, s.close())
}

// close sends CLOSE behind all that waits, awaits the platform's, and ends the session.
func (s *session) close() (err error) {
	s.closing.Store(true)
	s.out.sendClose(websocket.CloseNormalClosure, false)
	wait := time.NewTimer(closeWait)
	defer wait.Stop()
	select {
	case <-s.done:
	case <-wait.C:
		err = errors.New("leave: the platform did not answer CLOSE")
	}
	s.die(errLeft)
	return err
}

// unbindAll sends UNBIND for everything and waits for the answers.
func (c *Client) unbindAll(s *session, b *binder, limit <-chan time.Time) error {
	held := c.things.takeHeld()
	answers := make(chan error, len(held))
	sent := 0
	for len(held) > 0 {
		n := b.fit(held)
		body := &alwayson.Bind{Gateway: s.opt.Gateway}
		for _, th := range held[:n] {
			body.Names = append(body.Names, th.name)
		}
		held = held[n:]
		err := s.start(alwayson.Unbind, body, s.opt.LeaveTimeout, false, func(h alwayson.Header, r *alwayson.Response, err error) {
			if v := judge(h, r, err); !v.accepted() {
				err = errors.New(v.text())
			}
			answers <- err
		})
		if err != nil {
			return fmt.Errorf("leave: unbind: %w", err)
		}
		sent++
	}
	var first error
	for range sent {
		select {
		case err := <-answers:
			if err != nil && first == nil {
				first = fmt.Errorf("leave: unbind: %w", err)
			}
		case <-s.done:
			return fmt.Errorf("leave: unbind: %w", s.why())
		case <-limit:
			return fmt.Errorf("leave: unbind: %w", alwayson.ErrNoAnswer)
		}
	}
	return first
}

// up takes a new session into use.
func (c *Client) up(s *session) {
	now := time.Now()
	c.mu.Lock()
	attempts := c.status.Attempts
	c.status.Connected, c.status.Since, c.status.Session = true, now, s.number
	c.healthyUntil = now.Add(s.opt.HealthyAfter)
	c.told = nil
	c.mu.Unlock()
	if s.number > 1 {
		c.m.reconnects.Inc()
	}
	s.opt.Logger.Info("platform connected", "session", s.number, "url", hostOf(s.opt.URL), "attempts", attempts+1)
	c.current.Store(s) // before the handler is told, who may Start at once
	c.events.post(func() { c.h.PlatformUp(s.number) })
	c.things.up(s)
}

// down takes a dead session out of use, before its calls are failed.
func (c *Client) down(s *session, cause error) {
	c.current.Store(nil)
	now := time.Now()
	c.mu.Lock()
	lived := now.Sub(c.status.Since)
	c.status.Connected, c.status.Since = false, now
	if !now.Before(c.healthyUntil) {
		c.status.Attempts = 0
	}
	c.mu.Unlock()
	c.things.down(cause.Error())
	if errors.Is(cause, errLeft) {
		c.opt.Load().Logger.Info("platform left", "session", s.number, "after", lived.Round(time.Millisecond).String())
		return
	}
	c.opt.Load().Logger.Warn("platform connection lost", "session", s.number, "after", lived.Round(time.Millisecond).String(), "error", cause)
}

// failed notes a failed attempt or a lost connection and tells how long to wait.
// Each kind of trouble is logged once per episode.
func (c *Client) failed(err error) time.Duration {
	class := c.opt.Load().ConnectBackoff
	code := alwayson.Code(0)
	var auth *AuthError
	var upgrade *UpgradeError
	switch {
	case errors.As(err, &auth):
		class, code = c.opt.Load().KeyBackoff, auth.Code
	case errors.As(err, &upgrade) && (upgrade.Status == http.StatusUnauthorized || upgrade.Status == http.StatusForbidden):
		class = c.opt.Load().KeyBackoff
	}
	c.mu.Lock()
	c.status.Attempts++
	c.status.LastError, c.status.LastCode = err.Error(), code
	wait := class.delay(c.status.Attempts)
	attempts := c.status.Attempts
	what := trouble(err)
	news := !c.told[what] && len(c.told) < mostTold
	if news {
		if c.told == nil {
			c.told = map[string]bool{}
		}
		c.told[what] = true
	}
	lost := c.healthyUntil
	c.healthyUntil = time.Time{}
	c.mu.Unlock()
	if news && lost.IsZero() {
		c.opt.Load().Logger.Warn("platform not reached", "attempts", attempts, "next", wait.Round(time.Millisecond), "error", err)
	}
	return wait
}

// mostTold bounds the lines of one episode.
const mostTold = 50

// trouble is what err is about, without what differs from attempt to attempt.
func trouble(err error) string {
	for {
		switch e := err.(type) {
		case *AuthError, *UpgradeError, *ProxyError:
			return e.Error()
		case interface{ Unwrap() error }:
			inner := e.Unwrap()
			if inner == nil {
				return err.Error()
			}
			err = inner
		default:
			return err.Error()
		}
	}
}
