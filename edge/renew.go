package edge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// errRenewed says that a connection, or an attempt at one, was given up for a
// new one.
var errRenewed = errors.New("the connection is made anew")

// Check reports everything that is wrong with o; zero fields are fine.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

// Reconfigure takes new options for every connection that is made from now on;
// Renew makes one at once. PingInterval, PongTimeout and RequestTimeout count on
// the present connection too. Logger and Registerer stay those of NewClient. An
// error says what is wrong with the options; then nothing changes.
func (c *Client) Reconfigure(opt Options) error {
	o, err := opt.withDefaults()
	if err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	o.Logger, o.Registerer = c.opt.Load().Logger, nil
	c.mu.Lock()
	c.noCompress = false
	c.mu.Unlock()
	c.opt.Store(&o)
	return nil
}

// Renew has the client leave its connection in order, without UNBIND, and make a
// new one at once and without back-off; an attempt to connect, or the wait for
// the next, is cut short. Requests being served are answered SERVICE_UNAVAILABLE,
// calls in flight fail with alwayson.ErrConnectionLost. It returns at once.
func (c *Client) Renew(reason string) {
	c.mu.Lock()
	c.renewWhy = reason
	giveUp := c.giveUp
	c.mu.Unlock()
	select {
	case c.renewal <- struct{}{}:
	default:
	}
	if giveUp != nil {
		giveUp(errRenewed)
	}
}

// renewed reports whether a new connection is wanted, once.
func (c *Client) renewed() bool {
	select {
	case <-c.renewal:
		return true
	default:
		return false
	}
}

// attempt makes one attempt to connect, which Renew ends.
func (c *Client) attempt(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.giveUp = cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.giveUp = nil
		c.mu.Unlock()
	}()
	return c.connect(ctx)
}

// part ends a session for a new one, and tells why.
func (c *Client) part(s *session) error {
	c.mu.Lock()
	why := fmt.Errorf("%w: %s", errRenewed, c.renewWhy)
	c.mu.Unlock()
	s.abandon("the bridge makes its connection anew")
	if err := s.close(); err != nil {
		s.log.Debug("connection made anew", "error", err)
	}
	return why
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
