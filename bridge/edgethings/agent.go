package edgethings

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
)

// csrfHeader carries the token that a Lua Script Resource of 5.4.2 and later
// gives with each answer and wants with the next request.
const csrfHeader = "x-csrf-token"

const refusesLogIn = "the agent refuses the user and password that it registered with (401)"

// answer is what an agent said.
type answer struct {
	status int
	kind   string // Content-Type
	body   []byte
	held   int64 // of Manager.answers
}

// agents is the HTTP client. Each request has a connection of its own: a request
// on a kept one that the agent just gives up could not be told from one that was carried out.
type agents struct {
	transport *http.Transport

	mu     sync.Mutex // guards the following
	config func() (*tls.Config, error)
}

func newAgents(h *hosts, config func() (*tls.Config, error)) *agents {
	a := &agents{config: config}
	a.transport = &http.Transport{
		Proxy: nil, DialContext: h.dial, DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return a.dialTLS(ctx, h, network, address)
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	return a
}

// dialTLS reads the TLS configuration afresh, so that a renewed certificate counts.
func (a *agents) dialTLS(ctx context.Context, h *hosts, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	c, err := a.config()
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.ServerName == "" {
		c = c.Clone()
		c.ServerName = host
	}
	plain, err := h.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return conn, nil
}

func (a *agents) close() { a.transport.CloseIdleConnections() }

// csrfTries bounds the repetitions of a request whose token was no longer good.
const csrfTries = 4

// exchange sends one request to an agent and reads its answer. A 401 that
// brings a new CSRF token is no refusal: the request is made once more with it.
// An agent that hands out tokens is asked one thing at a time, since each of its
// answers makes the token before it useless.
func (m *Manager) exchange(ctx context.Context, t *thing, reg *registration, method, url string, body []byte) (*answer, error) {
	for try := 1; ; try++ {
		token := m.token(t, reg)
		leave := func() {}
		if token != "" || try > 1 {
			select {
			case t.turn <- struct{}{}:
				leave = func() { <-t.turn }
			case <-ctx.Done():
				return nil, errNoAnswer
			}
			token = m.token(t, reg)
		}
		a, next, err := m.once(ctx, reg, token, method, url, body)
		m.keepToken(t, reg, next)
		leave()
		if err != nil || a.status != http.StatusUnauthorized || next == "" || next == token || try == csrfTries {
			return a, err
		}
		m.drop(a)
	}
}

// token is that of the agent that reg names, if it still is the Thing's.
func (m *Manager) token(t *thing, reg *registration) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.reg.address() != reg.address() {
		return ""
	}
	return t.csrf
}

// maxToken bounds a token, in bytes; a longer one is kept of no agent.
const maxToken = 1024

// keepToken keeps the token of an answer of the agent that reg names, if it still is.
func (m *Manager) keepToken(t *thing, reg *registration, token string) {
	if token == "" || len(token) > maxToken {
		return
	}
	m.mu.Lock()
	if t.reg.address() == reg.address() {
		t.csrf = token
	}
	m.mu.Unlock()
}

// freeBytes is what each answer may have; what is beyond it counts among
// Options.Bytes, of all answers together.
const freeBytes = 64 << 10

// readAnswer reads a body of at most one byte more than most.
func (m *Manager) readAnswer(body io.Reader, most int) (content []byte, held int64, err error) {
	body = io.LimitReader(body, int64(most)+1)
	room := freeBytes
	for {
		if len(content) == room {
			if held += freeBytes; m.answers.Add(freeBytes) > int64(m.opt.Bytes) {
				return nil, held, errCrowded
			}
			room += freeBytes
		}
		content = slices.Grow(content, min(512, room-len(content)))
		n, err := body.Read(content[len(content):min(cap(content), room)])
		content = content[:len(content)+n]
		if err == io.EOF {
			return content, held, nil
		}
		if err != nil {
			return nil, held, err
		}
	}
}

// drop gives back the room that an answer took; nil is none.
func (m *Manager) drop(a *answer) {
	if a != nil {
		m.answers.Add(-a.held)
		a.held = 0
	}
}

// errCrowded says that the answers of all agents take all the room that there is.
var errCrowded = errors.New("there is no room for the agent's answer beside those of others; it may have acted")

// errTooLarge says that an answer is over Limits.MaxBody.
var errTooLarge = errors.New("the agent's answer is too large")

func (m *Manager) once(ctx context.Context, reg *registration, token, method, url string, body []byte) (*answer, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.GetBody = nil // a request is never sent again by itself
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "thingbridge")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set(csrfHeader, token)
	}
	if reg.User != "" || reg.Password != "" {
		req.SetBasicAuth(reg.User, string(reg.Password))
	}
	resp, err := m.agents.transport.RoundTrip(req)
	if err != nil {
		return nil, "", reach(err)
	}
	defer resp.Body.Close()
	most := m.limits.Load().MaxBody
	content, held, err := m.readAnswer(resp.Body, most)
	a := &answer{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), body: content, held: held}
	if err != nil || len(content) > most {
		m.drop(a)
	}
	switch {
	case errors.Is(err, errCrowded):
		return nil, "", err
	case err != nil:
		return nil, "", fmt.Errorf("read the agent's answer: %w", reach(err))
	case len(content) > most:
		return nil, "", fmt.Errorf("%w: over %d bytes", errTooLarge, most)
	}
	return a, resp.Header.Get(csrfHeader), nil
}

// reach makes an error of the network short: addresses and such stand elsewhere.
func reach(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errNoAnswer
	case errors.Is(err, syscall.ECONNREFUSED):
		return errNobody
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errBroken
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errNoAnswer
	}
	return err
}

// Ends of a request that an agent did not answer.
var (
	errNobody   = errors.New("nobody listens there (connection refused)")
	errNoAnswer = errors.New("no answer in time")
	errBroken   = errors.New("the agent broke the connection off before it answered")
)
