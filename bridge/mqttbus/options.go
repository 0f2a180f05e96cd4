package mqttbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
)

// Options says which broker to use and how. Brokers and ClientID are required;
// a zero value elsewhere means the default of DefaultOptions.
type Options struct {
	// Brokers are URLs: tcp, ssl, ws, wss (host:port) or unix (path). Several
	// mean fail-over, in order of preference. mqtt, tls and mqtts are accepted
	// as other names of tcp and ssl.
	Brokers []string
	// ClientID names the inbound session; the outbound one appends OutboundSuffix.
	ClientID string
	// CleanInbound asks the broker to forget the inbound session when the
	// connection ends. Right only where nothing must survive a restart.
	CleanInbound bool

	// Username and Password are called at each attempt. Nil: none.
	Username func() (string, error)
	Password func() (string, error)
	// TLS is called at each attempt for ssl and wss. Nil: the system's defaults, TLS 1.2 or later.
	TLS func() (*tls.Config, error)

	KeepAlive      time.Duration // whole seconds; silence of 1.5 times this ends the connection
	ConnectTimeout time.Duration // for dialling, TLS and the broker's answer together
	WriteTimeout   time.Duration // for each write to the connection
	AckTimeout     time.Duration // for PUBACK, SUBACK and UNSUBACK
	StopTimeout    time.Duration // for what is left when Run's context ends

	PayloadLimit  int // bytes; larger messages are skipped and counted
	InboxMessages int // messages received and not handed over
	InboxBytes    int // their topics and payloads

	PublishInFlight   int // sent and not confirmed
	PublishQueue      int // waiting or in flight
	PublishQueueBytes int // their topics and payloads

	SubscribeBatch int // filters in one SUBSCRIBE or UNSUBSCRIBE packet

	// LoadSubscribed and SaveSubscribed keep the filters of the broker's
	// inbound session between runs, so that those no longer wanted can be
	// unsubscribed. Save is called before a filter is subscribed and after one
	// is unsubscribed. Nil: nothing is kept.
	LoadSubscribed func() ([]string, error)
	SaveSubscribed func([]string) error

	// Birth is published first on each session that is up; Will is the broker's
	// to publish when the outbound connection breaks, and ours when Run ends.
	Birth, Will *bridge.Publication

	// States are what the bridge says of itself to devices that wait for it,
	// each on a connection of its own.
	States []State

	Backoff    Backoff
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Dial opens the network connection below TLS and WebSocket. Nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// OutboundSuffix makes the outbound connection's client id of Options.ClientID.
const OutboundSuffix = "-out"

// DefaultOptions are the values that stand for zero ones.
func DefaultOptions() Options {
	return Options{
		KeepAlive:         30 * time.Second,
		ConnectTimeout:    10 * time.Second,
		WriteTimeout:      10 * time.Second,
		AckTimeout:        30 * time.Second,
		StopTimeout:       3 * time.Second,
		PayloadLimit:      1 << 20,
		InboxMessages:     10_000,
		InboxBytes:        64 << 20,
		PublishInFlight:   100,
		PublishQueue:      10_000,
		PublishQueueBytes: 64 << 20,
		SubscribeBatch:    100,
		Backoff:           Backoff{Min: 500 * time.Millisecond, Max: 15 * time.Second, Healthy: 30 * time.Second},
	}
}

// Backoff says how long to wait between attempts: a random time up to Min, which
// doubles with each failure up to Max, and is Min again once a session lived
// for Healthy.
type Backoff struct {
	Min, Max, Healthy time.Duration
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) fill() {
	d := DefaultOptions()
	orDefault(&o.KeepAlive, d.KeepAlive)
	orDefault(&o.ConnectTimeout, d.ConnectTimeout)
	orDefault(&o.WriteTimeout, d.WriteTimeout)
	orDefault(&o.AckTimeout, d.AckTimeout)
	orDefault(&o.StopTimeout, d.StopTimeout)
	orDefault(&o.PayloadLimit, d.PayloadLimit)
	orDefault(&o.InboxMessages, d.InboxMessages)
	orDefault(&o.InboxBytes, d.InboxBytes)
	orDefault(&o.PublishInFlight, d.PublishInFlight)
	orDefault(&o.PublishQueue, d.PublishQueue)
	orDefault(&o.PublishQueueBytes, d.PublishQueueBytes)
	orDefault(&o.SubscribeBatch, d.SubscribeBatch)
	orDefault(&o.Backoff.Min, d.Backoff.Min)
	orDefault(&o.Backoff.Max, d.Backoff.Max)
	orDefault(&o.Backoff.Healthy, d.Backoff.Healthy)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
}

// check returns the brokers' addresses, or all that is wrong with the options.
func (o *Options) check() ([]*url.URL, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.ClientID == "" {
		bad("the client id is empty: the broker needs one to keep the session")
	}
	if len(o.ClientID)+len(OutboundSuffix) > maxString {
		bad("the client id has %d bytes; at most %d fit", len(o.ClientID), maxString-len(OutboundSuffix))
	}
	if len(o.Brokers) == 0 {
		bad("no broker is named; expected a URL such as tcp://host:1883")
	}
	var brokers []*url.URL
	for _, b := range o.Brokers {
		u, err := ParseBroker(b)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		brokers = append(brokers, u)
	}
	if o.KeepAlive < time.Second || o.KeepAlive > 65535*time.Second || o.KeepAlive%time.Second != 0 {
		bad("keep-alive %v; expected whole seconds from 1s to 65535s", o.KeepAlive)
	}
	if o.PublishInFlight < 1 || o.PublishInFlight > 60_000 {
		bad("%d publications in flight; expected 1 to 60000, for a packet has a 16-bit id", o.PublishInFlight)
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"payload limit", o.PayloadLimit}, {"inbox messages", o.InboxMessages}, {"inbox bytes", o.InboxBytes},
		{"publish queue", o.PublishQueue}, {"publish queue bytes", o.PublishQueueBytes}, {"subscribe batch", o.SubscribeBatch},
	} {
		if n.value < 0 {
			bad("%s is %d; expected more than zero", n.name, n.value)
		}
	}
	for _, p := range []*bridge.Publication{o.Birth, o.Will} {
		if p != nil {
			if err := checkTopic(p.Topic); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, s := range o.States {
		if err := checkTopic(s.Topic); err != nil {
			errs = append(errs, err)
		}
	}
	return brokers, errors.Join(errs...)
}

var schemes = map[string]struct{ name, port string }{
	"tcp": {"tcp", "1883"}, "mqtt": {"tcp", "1883"},
	"ssl": {"ssl", "8883"}, "tls": {"ssl", "8883"}, "mqtts": {"ssl", "8883"},
	"ws": {"ws", "80"}, "wss": {"wss", "443"}, "unix": {"unix", ""},
}

// ParseBroker reads a broker's URL and completes it with its scheme's port. A
// user name or password in it is refused: they would be printed with it.
func ParseBroker(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("the broker's address is not a URL; expected one such as tcp://host:1883")
	}
	if u.User != nil {
		u.User = nil
		return nil, fmt.Errorf("broker %s: the address holds a user name; put it under username and password", u)
	}
	known, ok := schemes[strings.ToLower(u.Scheme)]
	if !ok {
		return nil, fmt.Errorf("broker %s: scheme %q; expected tcp, ssl, ws, wss or unix", s, u.Scheme)
	}
	u.Scheme = known.name
	if u.Scheme == "unix" {
		if u.Host+u.Path == "" {
			return nil, fmt.Errorf("broker %s: no path; expected unix:///run/broker.sock", s)
		}
		return u, nil
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("broker %s: no host; expected %s://host:%s", s, u.Scheme, known.port)
	}
	if (u.Scheme == "tcp" || u.Scheme == "ssl") && strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("broker %s: a path makes no sense with %s", s, u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), known.port)
	}
	return u, nil
}
