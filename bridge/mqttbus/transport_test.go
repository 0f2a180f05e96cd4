package mqttbus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// roundTrip sends one message through the broker and back.
func roundTrip(t *testing.T, o Options) {
	t.Helper()
	r := newRecorder()
	b, _ := startBus(t, o, r, "echo")
	receive(t, r.up, "BusUp")
	payload := strings.Repeat("x", 100_000)
	b.Publish(bridge.Publication{Topic: "echo", Payload: []byte(payload), QoS: 1}, nil)
	m := receive(t, r.messages, "message")
	if string(m.Payload) != payload {
		t.Fatalf("received %d bytes", len(m.Payload))
	}
	m.Ack()
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	br := startBroker(t, broker.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	t.Run("with the right authority a message goes and comes", func(t *testing.T) {
		o := testOptions(t, br.URL())
		o.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: pool}, nil }
		roundTrip(t, o)
	})
	t.Run("with the system's authorities it is refused and says why", func(t *testing.T) {
		b, _ := startBus(t, testOptions(t, br.URL()), newRecorder())
		eventually(t, "the reason is shown", func() bool {
			return strings.Contains(b.Status().LastError, "; give the authority that signed it as tls.ca")
		})
	})
	t.Run("without TLS it is refused and says why", func(t *testing.T) {
		b, _ := startBus(t, testOptions(t, strings.Replace(br.URL(), "ssl:", "tcp:", 1)), newRecorder())
		eventually(t, "the reason is shown", func() bool {
			return strings.Contains(b.Status().LastError, "before it answered; see whether it wants TLS on this port (ssl://)")
		})
	})
	t.Run("with another server name it is refused and says why", func(t *testing.T) {
		o := testOptions(t, br.URL())
		o.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: pool, ServerName: "other.example"}, nil }
		b, _ := startBus(t, o, newRecorder())
		eventually(t, "the reason is shown", func() bool {
			return strings.Contains(b.Status().LastError, "other.example; use a name that is in it, or give that as tls.server_name")
		})
	})
	t.Run("settings that cannot be read are read again at the next attempt", func(t *testing.T) {
		var calls atomic.Int32
		o := testOptions(t, br.URL())
		o.TLS = func() (*tls.Config, error) {
			if calls.Add(1) < 3 {
				return nil, errors.New("ca.pem: no such file")
			}
			return &tls.Config{RootCAs: pool}, nil
		}
		roundTrip(t, o)
	})
}

// openHook lets everybody do everything.
type openHook struct{ mqtt.HookBase }

func (*openHook) ID() string { return "open" }
func (*openHook) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}
func (*openHook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*openHook) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }

func TestWebSocket(t *testing.T) {
	cert, pool := certificate(t)
	for scheme, cfg := range map[string]*tls.Config{"ws": nil, "wss": {Certificates: []tls.Certificate{cert}}} {
		t.Run(scheme, func(t *testing.T) {
			port := freePort(t)
			server := mqtt.New(&mqtt.Options{Logger: testLogger(t)})
			if err := server.AddHook(new(openHook), nil); err != nil {
				t.Fatal(err)
			}
			l := listeners.NewWebsocket(listeners.Config{ID: "ws", Address: fmt.Sprintf("127.0.0.1:%d", port), TLSConfig: cfg})
			if err := server.AddListener(l); err != nil {
				t.Fatal(err)
			}
			if err := server.Serve(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			o := testOptions(t, fmt.Sprintf("%s://127.0.0.1:%d/mqtt", scheme, port))
			o.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: pool}, nil }
			roundTrip(t, o)
		})
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	br := startBroker(t, broker.Options{Listener: l})
	roundTrip(t, testOptions(t, br.URL()))
}

func TestTheNextBrokerOfTheListIsUsed(t *testing.T) {
	br := startBroker(t, broker.Options{})
	o := testOptions(t, "")
	o.Brokers = []string{fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t)), br.URL()}
	roundTrip(t, o)
}

func TestCredentialsAreReadAgainAtEachAttempt(t *testing.T) {
	br := startBroker(t, broker.Options{Authenticate: func(_, user string, password []byte) bool {
		return user == "bridge" && string(password) == "right"
	}})
	var calls atomic.Int32
	o := testOptions(t, br.URL())
	o.Username = func() (string, error) { return "bridge", nil }
	o.Password = func() (string, error) {
		switch calls.Add(1) {
		case 1:
			return "", errors.New("password file: permission denied")
		case 2:
			return "wrong", nil
		}
		return "right", nil
	}
	roundTrip(t, o)
	if n := calls.Load(); n != 3 {
		t.Errorf("the password was read %d times", n)
	}
}

func TestBirthAndWill(t *testing.T) {
	br := startBroker(t, broker.Options{})
	watch := newRecorder()
	wo := testOptions(t, br.URL())
	wo.ClientID = "watch"
	startBus(t, wo, watch, "bridge/status")
	receive(t, watch.up, "BusUp")
	state := func() string {
		m := receive(t, watch.messages, "status")
		m.Ack()
		return string(m.Payload)
	}

	o := testOptions(t, br.URL())
	o.Birth = &bridge.Publication{Topic: "bridge/status", Payload: []byte("online"), QoS: 1, Retain: true}
	o.Will = &bridge.Publication{Topic: "bridge/status", Payload: []byte("offline"), QoS: 1, Retain: true}
	r := newRecorder()
	var c cutter
	o.Dial = c.dial
	_, stop := startBus(t, o, r)
	if s := state(); s != "online" {
		t.Fatalf("status %q", s)
	}
	c.cut()
	for _, want := range []string{"offline", "online"} {
		if s := state(); s != want {
			t.Fatalf("status %q after the connection was cut, expected %q", s, want)
		}
	}
	stop()
	if s := state(); s != "offline" {
		t.Fatalf("status %q after the end", s)
	}
}

func TestWhatWaitsIsSentBeforeTheEnd(t *testing.T) {
	br := startBroker(t, broker.Options{})
	r := newRecorder()
	b, err := New(testOptions(t, br.URL()), r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	receive(t, r.up, "BusUp")
	const n = 1000
	ends := make(chan error, n)
	for range n {
		b.Publish(bridge.Publication{Topic: "x", QoS: 1}, func(err error) { ends <- err })
	}
	cancel()
	if err := receive(t, ended, "end of Run"); err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := receive(t, ends, "end"); err != nil {
			t.Fatal(err)
		}
	}
}
