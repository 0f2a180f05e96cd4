package devicesim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Access says how to reach the broker.
type Access struct {
	Broker             string // URL: tcp, ssl, ws, wss, unix
	Username, Password string
	TLS                *tls.Config // nil: the system's defaults
}

// client is one connection. It lives once.
type client struct {
	paho.Client
	lost    chan struct{} // closed when the connection broke
	pending []paho.Token  // publications not yet acknowledged, oldest first
}

const (
	patience  = 10 * time.Second // for an answer of the broker's
	inFlight  = 500              // publications of one connection without an answer
	writeWait = time.Second
)

var errLost = errors.New("the connection broke")

// connect opens a connection; messages go to handle, which must not block.
func (a Access) connect(ctx context.Context, id string, will *message, handle func(topic string, payload []byte)) (*client, error) {
	c := &client{lost: make(chan struct{})}
	o := paho.NewClientOptions().AddBroker(a.Broker).SetClientID(id).SetProtocolVersion(4).
		SetUsername(a.Username).SetPassword(a.Password).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(patience).SetWriteTimeout(writeWait).SetKeepAlive(20 * time.Second).SetOrderMatters(true)
	if a.TLS != nil {
		o.SetTLSConfig(a.TLS)
	}
	if will != nil {
		o.SetBinaryWill(will.topic, will.payload, will.qos, will.retain)
	}
	o.SetConnectionLostHandler(func(paho.Client, error) { close(c.lost) })
	if handle != nil {
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { handle(m.Topic(), m.Payload()) })
	}
	c.Client = paho.NewClient(o)
	if err := await(ctx, c.Connect(), nil); err != nil {
		c.Disconnect(0)
		return nil, fmt.Errorf("connect %s to %s: %w", id, a.Broker, err)
	}
	return c, nil
}

// await waits for the broker's answer.
func await(ctx context.Context, token paho.Token, lost <-chan struct{}) error {
	timer := time.NewTimer(patience + time.Second)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-lost:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("the broker did not answer in time")
	}
}

// subscribe asks for filters, in packets of a hundred.
func (c *client) subscribe(ctx context.Context, filters []string) error {
	for len(filters) > 0 {
		n := min(100, len(filters))
		ask := make(map[string]byte, n)
		for _, f := range filters[:n] {
			ask[f] = 1
		}
		filters = filters[n:]
		if err := await(ctx, c.SubscribeMultiple(ask, nil), c.lost); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	return nil
}

// send publishes, and waits for the oldest answer when too many are missing.
func (c *client) send(ctx context.Context, messages ...message) error {
	for _, m := range messages {
		c.pending = append(c.pending, c.Publish(m.topic, m.qos, m.retain, m.payload))
		if len(c.pending) < inFlight {
			continue
		}
		if err := c.settle(ctx, inFlight/2); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until at most left publications are without an answer.
func (c *client) settle(ctx context.Context, left int) error {
	for len(c.pending) > left {
		if err := await(ctx, c.pending[0], c.lost); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		c.pending = c.pending[1:]
	}
	return nil
}

// leave says DISCONNECT and ends the connection.
func (c *client) leave() { c.Disconnect(250) }
