package mqttbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	paho "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/bridge"
)

// link is one client of the library on one connection. It lives once.
type link struct {
	client  paho.Client
	conn    *conn
	present bool // the broker kept a session for it

	lost    chan struct{} // closed when the library has ended after a failure
	lostErr error         // the library's reason; written before lost is closed
	tending sync.WaitGroup
}

// ConnectError says that a broker could not be reached or refused us.
type ConnectError struct {
	Broker   string
	ClientID string
	Code     byte // CONNACK return code; 0: it did not come to that
	Err      error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("connect to %s as %s: %v", e.Broker, e.ClientID, e.Err)
}

func (e *ConnectError) Unwrap() error { return e.Err }

// ErrRefused is what every refusal by CONNACK is.
var ErrRefused = errors.New("the broker refused the connection")

func refusal(code byte) error {
	text := map[byte]string{
		1: "it does not speak MQTT 3.1.1",
		2: "it does not accept the client id",
		3: "it is not available for now",
		4: "the user name or password is wrong",
		5: "not authorised: check user name, password and the broker's rules for this client id",
	}[code]
	return fmt.Errorf("%w: %s (return code %d)", ErrRefused, text, code)
}

type linkOptions struct {
	broker   *url.URL
	clientID string
	clean    bool
	will     *bridge.Publication
	username string
	password string
	inbox    *inbox // nil: receives nothing
	session  uint64 // its number
}

// open makes one connection. On error nothing is left of it.
func (b *Bus) openLink(ctx context.Context, opt *settings, o linkOptions) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, opt.ConnectTimeout)
	defer cancel()
	fail := func(code byte, err error) error {
		return &ConnectError{Broker: o.broker.Redacted(), ClientID: o.clientID, Code: code, Err: err}
	}
	raw, err := dialer{tls: opt.TLS, dial: opt.Dial}.open(ctx, o.broker)
	if err != nil {
		return nil, fail(0, err)
	}
	l := &link{lost: make(chan struct{})}
	l.conn = newConn(raw, connOptions{
		payloadLimit: &b.limit,
		keepAlive:    opt.KeepAlive,
		writeTimeout: opt.WriteTimeout,
		inbox:        o.inbox,
		metrics:      b.metrics,
		skipped:      b.skipped,
	})
	l.client = paho.NewClient(l.clientOptions(&opt.Options, o))
	token := l.client.Connect().(*paho.ConnectToken)
	select {
	case <-token.Done():
	case <-ctx.Done():
		l.conn.fail(errNoConnack)
		<-token.Done()
	}
	if err := l.connected(token); err != nil {
		l.conn.fail(err)
		if token.Error() == nil {
			<-l.lost
		}
		code := token.ReturnCode()
		if code >= 1 && code <= 5 {
			return nil, fail(code, refusal(code))
		}
		return nil, fail(0, err)
	}
	l.present = token.SessionPresent()
	l.tending.Go(l.conn.tend)
	return l, nil
}

func (l *link) connected(token *paho.ConnectToken) error {
	switch err := l.conn.err(); {
	case errors.Is(err, errClosedByBroker):
		return fmt.Errorf("%w before it answered; see whether it wants TLS on this port (ssl://), and its log", err)
	case err != nil && !errors.Is(err, errClosedByLibrary):
		return err
	}
	if err := token.Error(); err != nil {
		return err
	}
	return l.conn.err()
}

func (l *link) clientOptions(bo *Options, o linkOptions) *paho.ClientOptions {
	co := paho.NewClientOptions()
	co.Servers = []*url.URL{o.broker}
	co.SetClientID(o.clientID)
	co.SetUsername(o.username)
	co.SetPassword(o.password)
	co.SetCleanSession(o.clean)
	co.SetProtocolVersion(4)
	co.SetAutoReconnect(false)
	co.SetConnectRetry(false)
	co.SetOrderMatters(true)
	co.SetAutoAckDisabled(true)
	co.SetStore(noStore{})
	co.SetKeepAlive(bo.KeepAlive)
	// The library cannot tell a full inbox from a dead broker; conn can, and
	// ends the connection itself.
	co.SetPingTimeout(math.MaxInt64)
	co.SetConnectTimeout(bo.ConnectTimeout)
	co.SetWriteTimeout(handOverWait)
	co.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return l.conn, nil })
	co.SetConnectionLostHandler(func(_ paho.Client, err error) {
		l.lostErr = err
		close(l.lost)
	})
	co.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { l.receive(o.inbox, o.session, m) })
	if o.will != nil {
		co.SetBinaryWill(o.will.Topic, o.will.Payload, o.will.QoS, o.will.Retain)
	}
	return co
}

// receive runs on the library's goroutine and never blocks.
func (l *link) receive(in *inbox, session uint64, m paho.Message) {
	topic, qos, id := m.Topic(), m.Qos(), m.MessageID()
	if in == nil {
		return
	}
	if qos > 0 && id == 0 {
		l.conn.fail(protocolError("a PUBLISH at quality of service %d with packet id 0", qos))
		return
	}
	if qos > 0 {
		l.conn.owed()
	}
	if err := checkTopic(topic); err != nil {
		l.conn.opt.metrics.dropped[dropBadTopic].Inc()
		l.conn.opt.skipped(topic, len(m.Payload()), dropBadTopic)
		if qos > 0 {
			l.conn.acknowledge(qos, id)
		}
		return
	}
	if m.Duplicate() {
		l.conn.opt.metrics.duplicates.Inc()
	}
	l.conn.opt.metrics.received[qos].Inc()
	in.push(&bridge.Message{
		Topic:    topic,
		Payload:  m.Payload(),
		QoS:      qos,
		Retained: m.Retained(),
		Dup:      m.Duplicate(),
		Received: time.Now(),
		Session:  session,
		AckFunc:  l.conn.ackFunc(qos, id),
	})
}

// ackFunc makes a message's acknowledgement: it works once, and on this
// connection only.
func (c *conn) ackFunc(qos byte, id uint16) func() {
	if qos == 0 {
		return nil
	}
	var once atomic.Bool
	return func() {
		if once.CompareAndSwap(false, true) {
			c.acknowledge(qos, id)
		}
	}
}

// ended is closed when the connection is of no use any more.
func (l *link) ended() <-chan struct{} { return l.conn.closed }

// handOverWait is how long the library tries to hand a packet to its writer. It
// tries as long when the connection has died meanwhile, which is why it is short.
const handOverWait = 250 * time.Millisecond

// send calls op, again while all that went wrong is that the library's writer was busy.
func (l *link) send(op func() paho.Token) paho.Token {
	for {
		started := time.Now()
		token := op()
		if time.Since(started) < handOverWait || l.conn.err() != nil {
			return token
		}
		select {
		case <-token.Done():
			if token.Error() != nil {
				continue
			}
		default:
		}
		return token
	}
}

func (l *link) publish(p *bridge.Publication) paho.Token {
	return l.send(func() paho.Token { return l.client.Publish(p.Topic, p.QoS, p.Retain, p.Payload) })
}

// reason says why it ended: what we found ourselves, else what the library says.
func (l *link) reason() error {
	err := l.conn.err()
	if !errors.Is(err, errClosedByLibrary) {
		return err
	}
	select {
	case <-l.lost:
		return l.lostErr
	case <-time.After(time.Second):
		return err
	}
}

// breakOff ends the connection without a DISCONNECT, so that the broker
// publishes the will, and waits for the library's goroutines.
func (l *link) breakOff(err error) {
	l.conn.fail(err)
	<-l.lost
	l.tending.Wait()
}

// leave writes what is owed, says DISCONNECT and ends the connection.
func (l *link) leave(limit time.Duration) {
	l.conn.flushAcks()
	l.client.Disconnect(uint(max(limit.Milliseconds(), 1)))
	l.conn.fail(errClosedByLibrary)
	l.tending.Wait()
}

// sanitize makes foreign text fit for a log line.
func sanitize(s string) string {
	if !utf8.ValidString(s) {
		return fmt.Sprintf("%q", clip(s))
	}
	return clip(s)
}
