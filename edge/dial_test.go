package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/edge/alwayson"
)

// onLoopback lets the peer listen on TCP too and gives its address.
func (p *peer) onLoopback(cfg *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	go p.srv.Serve(l)
	return l.Addr().String()
}

// await waits for the client to stand as ready says, on a real network.
func await(t testing.TB, c *runner, what string, ready func(Status) bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for {
		select {
		case <-tick.C:
			if ready(c.Status()) {
				return
			}
		case <-limit:
			t.Fatalf("not %s: %+v", what, c.Status())
		}
	}
}

func connected(s Status) bool { return s.Connected }

func testOptions(rawURL string) Options {
	return Options{
		URL:    rawURL,
		AppKey: func(context.Context) (string, error) { return testKey, nil },
	}
}

// authority makes a certificate authority and certificates of it for tests.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(name string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{a.issue("twx.example.com")}, ClientCAs: a.pool, ClientAuth: tls.VerifyClientCertIfGiven}
	cases := map[string]struct {
		cfg  *tls.Config
		want string // in the error; empty: connects
	}{
		"own authority and server name":        {&tls.Config{RootCAs: a.pool, ServerName: "twx.example.com"}, ""},
		"client certificate":                   {&tls.Config{RootCAs: a.pool, ServerName: "twx.example.com", Certificates: []tls.Certificate{a.issue("bridge")}}, ""},
		"certificate for another name":         {&tls.Config{RootCAs: a.pool, ServerName: "other.example.com"}, "other.example.com; use a name that is in it, or give that as tls.server_name"},
		"the URL's host is the name otherwise": {&tls.Config{RootCAs: a.pool}, "127.0.0.1"},
		"unknown authority":                    {&tls.Config{ServerName: "twx.example.com"}, "; give the authority that signed it as tls.ca"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			opt := testOptions("wss://" + p.onLoopback(server) + "/Thingworx/WS")
			opt.TLS = func() (*tls.Config, error) { return tc.cfg, nil }
			c := run(t, opt, &recorder{})
			if tc.want == "" {
				await(t, c, "connected", connected)
				return
			}
			await(t, c, "refused", func(s Status) bool { return strings.Contains(s.LastError, tc.want) })
		})
	}
	t.Run("an unreadable configuration is reported", func(t *testing.T) {
		opt := testOptions("wss://" + newPeer(t).onLoopback(server) + "/Thingworx/WS")
		opt.TLS = func() (*tls.Config, error) { return nil, errors.New("ca.pem: no such file") }
		await(t, run(t, opt, &recorder{}), "refused", func(s Status) bool { return strings.Contains(s.LastError, "ca.pem: no such file") })
	})
}

// newProxy answers CONNECT for one user and gives the proxy's address.
func newProxy(t *testing.T, user, password string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				req, err := http.ReadRequest(bufio.NewReader(near))
				if err != nil || req.Method != http.MethodConnect {
					return
				}
				if req.Header.Get("Proxy-Authorization") != want {
					fmt.Fprint(near, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
					return
				}
				far, err := net.Dial("tcp", req.Host)
				if err != nil {
					return
				}
				defer far.Close()
				fmt.Fprint(near, "HTTP/1.1 200 OK\r\n\r\n")
				go func() { io.Copy(far, near); far.Close() }()
				io.Copy(near, far)
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	a := newAuthority(t)
	proxy := newProxy(t, "user", "pass:word")
	through := func(userinfo string) func(*http.Request) (*url.URL, error) {
		u, err := url.Parse("http://" + userinfo + proxy)
		if err != nil {
			t.Fatal(err)
		}
		return http.ProxyURL(u)
	}
	t.Run("with basic authentication", func(t *testing.T) {
		opt := testOptions("ws://" + newPeer(t).onLoopback(nil) + "/Thingworx/WS")
		opt.Proxy = through("user:pass%3Aword@")
		await(t, run(t, opt, &recorder{}), "connected", connected)
	})
	t.Run("with TLS inside the tunnel", func(t *testing.T) {
		opt := testOptions("wss://" + newPeer(t).onLoopback(&tls.Config{Certificates: []tls.Certificate{a.issue("twx.example.com")}}) + "/Thingworx/WS")
		opt.Proxy = through("user:pass%3Aword@")
		opt.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: a.pool, ServerName: "twx.example.com"}, nil }
		await(t, run(t, opt, &recorder{}), "connected", connected)
	})
	t.Run("refused without", func(t *testing.T) {
		opt := testOptions("ws://" + newPeer(t).onLoopback(nil) + "/Thingworx/WS")
		opt.Proxy = through("")
		await(t, run(t, opt, &recorder{}), "refused", func(s Status) bool { return strings.Contains(s.LastError, "407 Proxy Authentication Required") })
	})
	t.Run("of an unknown kind", func(t *testing.T) {
		opt := testOptions("ws://127.0.0.1:1/")
		opt.Proxy = http.ProxyURL(&url.URL{Scheme: "socks4", Host: "x"})
		await(t, run(t, opt, &recorder{}), "refused", func(s Status) bool { return strings.Contains(s.LastError, "socks4") })
	})
}

func TestUpgradeRequestCarriesKeyAndFrameSize(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.upgrade = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("appKey") != testKey || r.Header.Get("Max-Frame-Size") != "8192" || r.URL.Path != "/Thingworx/WS" {
				t.Errorf("upgrade %s with %v", r.URL, r.Header)
			}
			return false
		}
		c := p.start(&recorder{}, nil)
		pass(time.Millisecond)
		if !c.Status().Connected {
			t.Error("not connected")
		}
	})
}

func TestARefusedUpgradeSaysWhatToLookAt(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusOK: "/Thingworx/WS", http.StatusTemporaryRedirect: "/Thingworx/WS", http.StatusNotFound: "/Thingworx/WS",
		http.StatusUnauthorized: "application key", http.StatusForbidden: "application key",
	} {
		bubble(t, func(t *testing.T, p *peer) {
			p.upgrade = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(status)
				return true
			}
			c := p.start(&recorder{}, nil)
			pass(time.Second)
			if text := c.Status().LastError; !strings.Contains(text, fmt.Sprintf("HTTP status %d; see to ", status)) || !strings.Contains(text, want) {
				t.Errorf("%q", text)
			}
		})
	}
}

func TestTLSToAPortWithoutItSaysWhatToLookAt(t *testing.T) {
	opt := testOptions("wss://" + newPeer(t).onLoopback(nil) + "/Thingworx/WS")
	await(t, run(t, opt, &recorder{}), "refused", func(s Status) bool {
		return strings.Contains(s.LastError, "does not speak TLS; ws:// instead of wss://")
	})
}

func TestNoTLSToAPortThatWantsItSaysWhatToLookAt(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue("twx.example.com")}}
	opt := testOptions("ws://" + newPeer(t).onLoopback(server) + "/Thingworx/WS")
	await(t, run(t, opt, &recorder{}), "refused", func(s Status) bool {
		return strings.Contains(s.LastError, "wss:// instead of ws://")
	})
}

func TestRefusedUpgradeIsRetriedAndLoggedOncePerEpisode(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var refuse atomic.Bool
		refuse.Store(true)
		p.upgrade = func(w http.ResponseWriter, _ *http.Request) bool {
			if refuse.Load() {
				http.Error(w, "Server is starting\nmore", http.StatusServiceUnavailable)
			}
			return refuse.Load()
		}
		var log safeBuffer
		c := p.start(&recorder{}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		pass(10 * time.Minute)
		if st := c.Status(); st.Attempts < 8 || !strings.HasSuffix(st.LastError, "status 503: Server is starting") {
			t.Errorf("status %+v", st)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "Server is starting") {
			t.Errorf("%d log lines:\n%s", n, log.String())
		}
		refuse.Store(false)
		pass(2 * time.Minute)
		if n := strings.Count(log.String(), "platform connected"); n != 1 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestCompression(t *testing.T) {
	t.Run("negotiated, and what is inflated is bounded", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			p.upgrader.EnableCompression = true
			var offered atomic.Bool
			p.upgrade = func(_ http.ResponseWriter, r *http.Request) bool {
				offered.Store(strings.Contains(r.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate"))
				return false
			}
			c := p.start(&recorder{}, func(o *Options) { o.Compression = true })
			c.Want("a")
			pass(time.Second)
			conn := p.last()
			bomb := append(bare(conn.header(alwayson.Post, 9)), make([]byte, 64<<20)...)
			conn.raw(bomb)
			pass(time.Second)
			if code, _ := conn.only(9); code != alwayson.EntityTooLarge {
				t.Errorf("answered %v", code)
			}
			id := conn.ask(alwayson.Post, service("a", "S"))
			pass(time.Second)
			if code, _ := conn.only(id); code != alwayson.Success || !offered.Load() || c.Status().Session != 1 {
				t.Errorf("afterwards %v, offered %v", code, offered.Load())
			}
		})
	})
	t.Run("an answer that cannot be used costs nothing but the compression", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *peer) {
			var offers atomic.Int32
			p.upgrade = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Sec-Websocket-Extensions") == "" {
					return false
				}
				offers.Add(1)
				conn, rw, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return true
				}
				defer conn.Close()
				fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
					acceptKey(r.Header.Get("Sec-Websocket-Key")))
				rw.Flush()
				return true
			}
			c := p.start(&recorder{}, func(o *Options) { o.Compression = true })
			pass(time.Millisecond)
			if st := c.Status(); !st.Connected || st.Attempts != 0 {
				t.Fatalf("status %+v", st)
			}
			p.last().ws.Close()
			pass(time.Minute)
			if st := c.Status(); !st.Connected || offers.Load() != 1 {
				t.Errorf("offered %d times, status %+v", offers.Load(), st)
			}
		})
	})
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		reg := prometheus.NewRegistry()
		c := p.start(&recorder{}, func(o *Options) { o.Registerer = reg })
		c.Want("a")
		pass(time.Millisecond)
		p.last().ask(alwayson.Post, service("a", "S"))
		pass(10 * time.Second)
		for name, want := range map[string]float64{"connected": 1, "things_bound": 1, "binds_total": 1, "bind_refusals_total": 0, "queue_bytes": 0} {
			got, err := gathered(reg, "thingbridge_platform_"+name)
			if err != nil || got != want {
				t.Errorf("%s is %v, want %v (%v)", name, got, want, err)
			}
		}
		if all, err := reg.Gather(); err != nil || len(all) < 15 {
			t.Errorf("%d metrics, %v", len(all), err)
		}
		if v, _ := gathered(reg, "thingbridge_platform_sent_bytes_total"); v == 0 {
			t.Error("no bytes counted")
		}
		if _, err := NewClient(Options{URL: "ws://x", AppKey: c.opt.Load().AppKey, Registerer: reg}, &recorder{}); err == nil {
			t.Error("a second client registered the same metrics")
		}
	})
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func gathered(reg *prometheus.Registry, name string) (float64, error) {
	all, err := reg.Gather()
	for _, f := range all {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := NewClient(Options{URL: "http://u:secret@host", Chunk: 3, Gateway: &alwayson.Gateway{Name: "g"}, PingInterval: -1}, &recorder{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"ws://", "application key", "chunk 3", "gateway", "ping interval"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not named in: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("secret in: %v", err)
	}
}
