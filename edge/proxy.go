package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxProxyAnswer bounds what a proxy may say before the tunnel stands.
const maxProxyAnswer = 16 << 10

// connectThrough asks proxy for a tunnel to address.
func connectThrough(ctx context.Context, proxy *url.URL, address string,
	dial func(ctx context.Context, address string) (net.Conn, error)) (net.Conn, error) {
	var port string
	switch proxy.Scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	default:
		return nil, &ProxyError{Proxy: proxy.Host, Err: fmt.Errorf("scheme %q is not supported; expected http or https", proxy.Scheme)}
	}
	if proxy.Port() != "" {
		port = proxy.Port()
	}
	host := net.JoinHostPort(proxy.Hostname(), port)
	conn, err := dial(ctx, host)
	if err != nil {
		return nil, &ProxyError{Proxy: host, Err: err}
	}
	if proxy.Scheme == "https" {
		conn, err = handshake(ctx, conn, &tls.Config{MinVersion: tls.VersionTLS12}, proxy.Hostname())
		if err != nil {
			return nil, &ProxyError{Proxy: host, Err: err}
		}
	}
	if err := tunnel(ctx, conn, proxy, host, address); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// tunnel sends CONNECT and reads the answer, within ctx.
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, host, address string) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return &ProxyError{Proxy: host, Err: err}
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return &ProxyError{Proxy: host, Err: err}
	}
	// The platform does not speak first, so nothing of the tunnel can be in br.
	br := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return &ProxyError{Proxy: host, Err: fmt.Errorf("answer to CONNECT: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return &ProxyError{Proxy: host, Status: resp.Status}
	}
	if br.Buffered() > 0 {
		return &ProxyError{Proxy: host, Err: errors.New("sent bytes behind its answer to CONNECT")}
	}
	if !stop() {
		return &ProxyError{Proxy: host, Err: context.Cause(ctx)}
	}
	return conn.SetDeadline(time.Time{})
}
