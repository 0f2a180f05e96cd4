package httpd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate makes one that carries a serial number.
func certificate(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestACertificateIsReadAgainAndABadOneChangesNothing(t *testing.T) {
	first, second := certificate(t, 1), certificate(t, 2)
	synctest.Test(t, func(t *testing.T) {
		present, reads := first, 0
		var broken error
		c, err := newCertificates(func() (*tls.Config, error) {
			reads++
			return &tls.Config{Certificates: []tls.Certificate{present}}, broken
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		serial := func() int64 {
			got, err := c.config().GetConfigForClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(got.Certificates[0].Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			return leaf.SerialNumber.Int64()
		}
		present = second
		for range 100 {
			if serial() != 1 {
				t.Fatal("it was read again at once")
			}
		}
		time.Sleep(reread)
		if serial() != 2 || reads != 2 {
			t.Fatalf("serial %d after %d reads", serial(), reads)
		}
		broken = errors.New("half written")
		time.Sleep(reread)
		if serial() != 2 || !c.failing {
			t.Fatal("a bad file counts")
		}
		present, broken = first, nil
		time.Sleep(reread)
		if serial() != 1 || c.failing {
			t.Fatal("a mended file does not count")
		}
	})
}

// running runs a server until the test's end.
func running(t *testing.T, s *Server) (address string) {
	t.Helper()
	s.Address, s.AnswerTime, s.StopTimeout, s.Logger = "127.0.0.1:0", time.Minute, time.Second, slog.New(slog.DiscardHandler)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s.Addr().String()
}

func TestTLSIsServed(t *testing.T) {
	cert := certificate(t, 7)
	address := running(t, &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }), Connections: 10,
		TLS: func() (*tls.Config, error) { return &tls.Config{Certificates: []tls.Certificate{cert}}, nil },
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "hello" || resp.TLS.PeerCertificates[0].SerialNumber.Int64() != 7 {
		t.Fatalf("%q %v", text, err)
	}
}

func TestACertificateThatCannotBeReadIsFoundAtTheStart(t *testing.T) {
	s := &Server{Address: "127.0.0.1:0", Connections: 1, TLS: func() (*tls.Config, error) { return nil, errors.New("no such file") }}
	if err := s.Listen(); err == nil {
		t.Fatal("it listens")
	}
}

func TestAConnectionOverTheLimitIsToldSoAndClosed(t *testing.T) {
	var refused atomic.Int64
	address := running(t, &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }), Connections: 2,
		Refused: func() { refused.Add(1) },
	})
	ask := func() (int, func()) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		status := make([]byte, 12)
		if _, err := io.ReadFull(c, status); err != nil {
			t.Fatal(err)
		}
		return int(status[9]-'0')*100 + int(status[10]-'0')*10 + int(status[11]-'0'), func() { c.Close() }
	}
	first, leave := ask()
	second, leaveToo := ask()
	third, gone := ask()
	gone()
	defer leaveToo()
	if first != 200 || second != 200 || third != 503 || refused.Load() != 1 {
		t.Fatalf("%d, %d and %d, %d refused", first, second, third, refused.Load())
	}
	leave()
	for end := time.Now().Add(10 * time.Second); ; {
		status, gone := ask()
		gone()
		if status == 200 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still %d", status)
		}
	}
}

func TestManyConnectionsComeAndGo(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }), Connections: 1000}
	address := running(t, s)
	transport := &http.Transport{DisableKeepAlives: true}
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 20 {
				resp, err := (&http.Client{Transport: transport}).Get("http://" + address)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	callers.Wait()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); s.open.open() != 0; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d count as open", s.open.open())
		}
	}
}

// TestOneCallerDoesNotKeepOthersOut has one address take all connections, and more
// than there are, and say on them what costs it nothing.
func TestOneCallerDoesNotKeepOthersOut(t *testing.T) {
	const most, token = 20, "the-token"
	const post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
	for _, c := range []struct {
		name string
		open int
		say  string
	}{
		{"nothing", most, ""},
		{"half a header", most, "GET / HT"},
		{"a request without a log-in, whose body does not come", most, post},
		{"nothing, on more connections than are taken", most + spare + 20, ""},
		{"a request whose body does not come, on more connections than are taken", most + spare + 20, post},
	} {
		t.Run(c.name, func(t *testing.T) {
			access := Access{Token: token}
			guard := NewGuard(access, func(w http.ResponseWriter, _ *http.Request, status int, text string) { http.Error(w, text, status) })
			s := &Server{Handler: guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })), Connections: most}
			address := running(t, s)
			for range c.open {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, c.say) // it may be closed already
			}
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(3 * time.Second); s.open.open() < most; <-tick.C {
				if time.Now().After(end) {
					t.Fatalf("only %d are open", s.open.open())
				}
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
			transport := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
			q, err := http.NewRequest("GET", "http://"+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			q.Header.Set("Authorization", "Bearer "+token)
			resp, err := (&http.Client{Transport: transport, Timeout: 3 * time.Second}).Do(q)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				t.Errorf("another caller is answered %d", resp.StatusCode)
			}
			if got := s.open.open(); got > most+spare {
				t.Errorf("%d are open", got)
			}
		})
	}
}

func TestCallers(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1/32", "[::ffff:10.0.0.1]:80": "10.0.0.1/32", "[2001:db8::1:2:3:4]:80": "2001:db8::/64",
		"[fe80::1%eth0]:80": "fe80::/64",
	} {
		if got := callerOf(addr(address)).String(); got != want {
			t.Errorf("%s is %s; want %s", address, got, want)
		}
	}
	if callerOf(addr("@")).IsValid() {
		t.Error("what is no address")
	}
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }
