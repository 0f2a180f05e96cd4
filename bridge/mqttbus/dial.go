package mqttbus

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
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// dialer opens connections to brokers.
type dialer struct {
	tls  func() (*tls.Config, error)
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (d dialer) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	switch u.Scheme {
	case "tcp":
		return d.dial(ctx, "tcp", u.Host)
	case "unix":
		return d.dial(ctx, "unix", u.Host+u.Path)
	case "ssl":
		return d.openTLS(ctx, u)
	case "ws", "wss":
		return d.openWebSocket(ctx, u)
	}
	return nil, fmt.Errorf("scheme %q is not known", u.Scheme)
}

func (d dialer) config(u *url.URL) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.tls != nil {
		c, err := d.tls()
		if err != nil {
			return nil, err
		}
		if c != nil {
			cfg = c.Clone()
		}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	return cfg, nil
}

func (d dialer) openTLS(ctx context.Context, u *url.URL) (net.Conn, error) {
	cfg, err := d.config(u)
	if err != nil {
		return nil, err
	}
	raw, err := d.dial(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		if errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil, fmt.Errorf("TLS: %w; see whether the broker speaks TLS on this port", err)
		}
		return nil, fmt.Errorf("TLS: %w%s", err, certificateAdvice(err))
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

func (d dialer) openWebSocket(ctx context.Context, u *url.URL) (net.Conn, error) {
	wd := websocket.Dialer{
		NetDialContext:  d.dial,
		Proxy:           http.ProxyFromEnvironment,
		Subprotocols:    []string{"mqtt"},
		ReadBufferSize:  16 << 10,
		WriteBufferSize: 16 << 10,
	}
	if u.Scheme == "wss" {
		cfg, err := d.config(u)
		if err != nil {
			return nil, err
		}
		cfg.NextProtos = nil
		wd.TLSClientConfig = cfg
	}
	ws, resp, err := wd.DialContext(ctx, u.String(), nil)
	if err != nil {
		if resp != nil {
			return nil, fmt.Errorf("WebSocket: the server answered %s: %w", resp.Status, err)
		}
		return nil, fmt.Errorf("WebSocket: %w%s", err, certificateAdvice(err))
	}
	return &wsConn{ws: ws, Conn: ws.NetConn()}, nil
}

// wsConn makes a byte stream of a WebSocket's binary messages. It never holds a
// whole message, so that a message's length costs nothing.
type wsConn struct {
	net.Conn // addresses only
	ws       *websocket.Conn
	message  io.Reader // the rest of the message that is being read
	writeMu  sync.Mutex
}

var errWebSocketText = errors.New("WebSocket: a text message, expected binary ones")

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.ws.NextReader()
			if err != nil {
				var closed *websocket.CloseError
				if errors.As(err, &closed) {
					return 0, io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errWebSocketText
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *wsConn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *wsConn) Close() error                       { return c.ws.Close() }
func (c *wsConn) SetReadDeadline(t time.Time) error  { return c.ws.SetReadDeadline(t) }
func (c *wsConn) SetWriteDeadline(t time.Time) error { return c.ws.SetWriteDeadline(t) }
func (c *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(c.ws.SetReadDeadline(t), c.ws.SetWriteDeadline(t))
}
