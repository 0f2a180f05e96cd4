package edge

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// Client keeps one connection to the platform alive.
type Client struct {
	opt     Options
	h       Handler
	running atomic.Bool
}

// NewClient checks the options and returns a client that does nothing before Run.
func NewClient(opt Options, h Handler) (*Client, error) {
	o, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Client{opt: o, h: h}, nil
}

// Run connects, and connects again, until ctx ends.
func (c *Client) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Want makes names part of the set of Things that should be bound.
func (c *Client) Want(names ...string) {}

// Unwant takes names out of the set and unbinds those that are bound.
func (c *Client) Unwant(names ...string) {}

// Rebind asks for the name's BIND once more.
func (c *Client) Rebind(name string) {}

// Start sends one request.
func (c *Client) Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error)) {
}

// Call sends one request and waits for its answer.
func (c *Client) Call(ctx context.Context, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, error) {
	return nil, errors.ErrUnsupported
}

// MaxBody is the largest request body, in bytes, that can be sent.
func (c *Client) MaxBody() int { return 0 }

// Status tells how the client stands.
func (c *Client) Status() Status { return Status{} }

// BindState tells how a wanted Thing stands, and why it is refused.
func (c *Client) BindState(name string) (alwayson.BindState, string) { return alwayson.Unbound, "" }

// Reconnect ends the present connection, with reason as its cause.
func (c *Client) Reconnect(reason string) {}
