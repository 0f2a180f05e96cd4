package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
)

// errCompression says that the platform answered the offer of compression in a
// way that the WebSocket library does not speak.
var errCompression = errors.New("platform answers permessage-deflate in an unusable way")

// dialer opens WebSockets to the platform.
type dialer struct {
	opt *Options
	url *url.URL
}

// dial opens one WebSocket. The coalescer below it is not switched on yet.
func (d *dialer) dial(ctx context.Context, key string, compress bool) (*websocket.Conn, *coalescer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opt.ConnectTimeout)
	defer cancel()
	var wire *coalescer
	stop := func() bool { return true }
	open := func(_ context.Context, network, address string) (net.Conn, error) {
		c, err := d.open(ctx, network, address)
		if err != nil {
			return nil, err
		}
		wire = newCoalescer(c, d.opt.WriteTimeout)
		// The library does not watch ctx while it waits for the answer to the upgrade.
		stop = context.AfterFunc(ctx, func() { c.Close() })
		return wire, nil
	}
	ws := websocket.Dialer{
		NetDialContext:    open,
		NetDialTLSContext: open,
		ReadBufferSize:    16 << 10,
		WriteBufferSize:   d.opt.Chunk + 64, // a message is never cut into frames
		EnableCompression: compress,
	}
	header := http.Header{
		"appKey":         {key},
		"Max-Frame-Size": {strconv.Itoa(d.opt.Chunk)},
	}
	conn, resp, err := ws.DialContext(ctx, d.url.String(), header)
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
		resp = nil
	}
	switch {
	case err == nil:
		return conn, wire, nil
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return nil, nil, &UpgradeError{Status: resp.StatusCode, Line: firstLine(resp.Body)}
	case compress && resp != nil && resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, nil, errCompression
	}
	return nil, nil, fmt.Errorf("connect to %s: %w", d.url.Host, err)
}

// open opens the network connection that the upgrade request goes over: TCP,
// through the proxy if there is one, with TLS on top for wss.
func (d *dialer) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.reach(ctx, network, address)
	if err != nil || d.url.Scheme != "wss" {
		return conn, err
	}
	cfg := &tls.Config{}
	if d.opt.TLS != nil {
		given, err := d.opt.TLS()
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("tls configuration: %w", err)
		}
		if given != nil {
			cfg = given.Clone()
		}
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	return handshake(ctx, conn, cfg, d.url.Hostname())
}

// handshake puts TLS on conn, which it closes when that fails.
func handshake(ctx context.Context, conn net.Conn, cfg *tls.Config, host string) (net.Conn, error) {
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		if errors.As(err, new(tls.RecordHeaderError)) {
			return nil, fmt.Errorf("tls with %s: the port does not speak TLS; ws:// instead of wss://, or another port: %w", cfg.ServerName, err)
		}
		return nil, fmt.Errorf("tls with %s: %w%s", cfg.ServerName, err, certificateAdvice(err))
	}
	return c, nil
}

// certificateAdvice says what to do about a certificate that is not accepted.
func certificateAdvice(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "; give the authority that signed it as tls.ca"
	case errors.As(err, new(x509.HostnameError)):
		return "; use a name that is in it, or give that as tls.server_name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "; renew it, or set this machine's clock"
	}
	return ""
}

// reach opens the connection to address, directly or through the proxy.
func (d *dialer) reach(ctx context.Context, network, address string) (net.Conn, error) {
	proxy, err := d.proxy()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if proxy == nil {
		return d.tcp(ctx, network, address)
	}
	return connectThrough(ctx, proxy, address, func(ctx context.Context, address string) (net.Conn, error) {
		return d.tcp(ctx, network, address)
	})
}

func (d *dialer) tcp(ctx context.Context, network, address string) (net.Conn, error) {
	if d.opt.Dial != nil {
		return d.opt.Dial(ctx, network, address)
	}
	nd := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return nd.DialContext(ctx, network, address)
}

// proxy is the proxy for the upgrade request, nil for none.
func (d *dialer) proxy() (*url.URL, error) {
	if d.opt.Proxy == nil {
		return nil, nil
	}
	u := *d.url
	u.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	return d.opt.Proxy(&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: http.Header{}})
}

// firstLine gives the first line of a refusal, in printable characters and not
// too long for a log line.
func firstLine(body io.Reader) string {
	const most = 200
	b, _ := io.ReadAll(io.LimitReader(body, 4*most))
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return line
}
