package edge

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"thingbridge/edge/alwayson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "key-1"

// peer is a scripted platform. Its hooks run on the connection's read loop.
type peer struct {
	t        *testing.T
	upgrader websocket.Upgrader
	srv      http.Server
	pipes    chan net.Conn
	ended    chan struct{}

	mu sync.Mutex // guards the following
	script
	conns []*peerConn
	log   []string // AUTH, BIND, UNBIND, CLOSE n, in order
	binds [][]string
}

// script is what a test decides; nil: the default.
type script struct {
	auth    func(key string) alwayson.Code // 0: no answer
	bind    func(c *peerConn, b *alwayson.Bind) *alwayson.Response
	request func(c *peerConn, h alwayson.Header, r *alwayson.Request) *alwayson.Response // nil answer: none
	upgrade func(w http.ResponseWriter, r *http.Request) bool                            // true: handled
	setup   func(c *peerConn)
}

func (p *peer) hooks() script {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.script
}

// set changes the script while connections stand.
func (p *peer) set(change func(*script)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.script)
}

type peerConn struct {
	p    *peer
	ws   *websocket.Conn
	wmu  sync.Mutex
	next uint32
	gone chan struct{}

	mu      sync.Mutex
	answers map[uint32][]alwayson.Message
}

func newPeer(t *testing.T) *peer {
	p := &peer{t: t, pipes: make(chan net.Conn), ended: make(chan struct{})}
	p.srv.Handler = p
	p.srv.ErrorLog = log.New(io.Discard, "", 0)
	go p.srv.Serve(p)
	t.Cleanup(func() { p.srv.Close() })
	return p
}

// Accept, Close and Addr make the peer a listener for pipes.
func (p *peer) Accept() (net.Conn, error) {
	select {
	case c := <-p.pipes:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *peer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
	default:
		close(p.ended)
	}
	return nil
}

func (p *peer) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *peer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.pipes <- far:
		return near, nil
	case <-p.ended:
		return nil, errors.New("peer has ended")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := p.hooks().upgrade; f != nil && f(w, r) {
		return
	}
	ws, err := p.upgrader.Upgrade(w, r, nil)
	if err != nil {
		p.t.Errorf("upgrade: %v", err)
		return
	}
	c := &peerConn{p: p, ws: ws, next: 0x40000000, gone: make(chan struct{}), answers: map[uint32][]alwayson.Message{}}
	ws.SetCloseHandler(func(code int, _ string) error {
		p.note("CLOSE " + string(rune('0'+code/1000)) + "000")
		return ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	})
	if f := p.hooks().setup; f != nil {
		f(c)
	}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	defer close(c.gone)
	defer ws.Close()
	c.read()
}

func (p *peer) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, s)
}

func (p *peer) notes() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, " ")
}

func (p *peer) bindCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.binds)
}

// last is the newest connection.
func (p *peer) last() *peerConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) == 0 {
		p.t.Fatal("no connection")
	}
	return p.conns[len(p.conns)-1]
}

func (p *peer) connCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (c *peerConn) read() {
	parts := alwayson.NewReassembler(alwayson.ReassemblerOptions{})
	for {
		kind, b, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		whole, err := parts.Add(time.Now(), b)
		if err != nil {
			c.p.t.Errorf("peer cannot read: %v", err)
			continue
		}
		if !whole.Done {
			continue
		}
		body, _, err := alwayson.ParseBody(whole.Header, whole.Body, alwayson.Limits{})
		if err != nil {
			c.p.t.Errorf("peer cannot decode %v: %v", whole.Header.Code, err)
			continue
		}
		c.handle(whole.Header, body)
	}
}

const peerSession = 0x11223344

func (c *peerConn) handle(h alwayson.Header, body alwayson.Body) {
	switch b := body.(type) {
	case *alwayson.Auth:
		c.p.note("AUTH")
		code := alwayson.Success
		if f := c.p.hooks().auth; f != nil {
			code = f(b.Claims[0].Value)
		} else if b.Claims[0].Name != "appKey" || b.Claims[0].Value != testKey {
			code = alwayson.Unauthorized
		}
		if h.SessionID != alwayson.NoSession {
			c.p.t.Errorf("AUTH with session id %x", h.SessionID)
		}
		h.SessionID = peerSession
		if code != 0 {
			c.answer(h, &alwayson.Response{Code: code})
		}
	case *alwayson.Bind:
		c.bound(h, b)
	case *alwayson.Request:
		c.session(h)
		var resp *alwayson.Response
		switch {
		case c.p.hooks().request != nil:
			resp = c.p.hooks().request(c, h, b)
		case b.Name == alwayson.ServiceGetSubscriptions:
			resp = alwayson.OK(alwayson.NewTable(&alwayson.InfoTable{}))
		default:
			resp = alwayson.OK(alwayson.Value{})
		}
		if resp != nil {
			c.answer(h, resp)
		}
	case *alwayson.Response:
		c.session(h)
		c.mu.Lock()
		c.answers[h.RequestID] = append(c.answers[h.RequestID], alwayson.Message{Header: h, Body: b})
		c.mu.Unlock()
	}
}

func (c *peerConn) session(h alwayson.Header) {
	if h.SessionID != peerSession {
		c.p.t.Errorf("%v with session id %x", h.Code, h.SessionID)
	}
}

func (c *peerConn) bound(h alwayson.Header, b *alwayson.Bind) {
	c.session(h)
	if h.Code == alwayson.Unbind {
		c.p.note("UNBIND")
	} else {
		c.p.note("BIND")
		c.p.mu.Lock()
		c.p.binds = append(c.p.binds, b.Names)
		c.p.mu.Unlock()
	}
	resp := alwayson.OK(alwayson.Value{})
	if f := c.p.hooks().bind; f != nil && h.Code == alwayson.BindCode {
		resp = f(c, b)
	}
	if resp != nil {
		c.answer(h, resp)
	}
}

func (c *peerConn) answer(h alwayson.Header, r *alwayson.Response) {
	h.Code = r.Code
	c.send(alwayson.Message{Header: h, Body: r})
}

// send writes one message in chunks of the usual size.
func (c *peerConn) send(m alwayson.Message) {
	for _, b := range encodeTest(c.p.t, m) {
		c.raw(b)
	}
}

func encodeTest(t testing.TB, m alwayson.Message) [][]byte {
	whole, err := alwayson.Append(nil, &m)
	if err != nil {
		t.Errorf("peer cannot encode: %v", err)
		return nil
	}
	chunks, err := alwayson.Chunks(nil, whole, 8192)
	if err != nil {
		t.Errorf("peer cannot chunk: %v", err)
	}
	return chunks
}

func (c *peerConn) raw(b []byte) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.ws.WriteMessage(websocket.BinaryMessage, b)
}

// ask sends a request and returns its id.
func (c *peerConn) ask(method alwayson.Code, r *alwayson.Request) uint32 {
	c.mu.Lock()
	c.next++
	id := c.next
	c.mu.Unlock()
	c.send(alwayson.Message{Header: c.header(method, id), Body: r})
	return id
}

func (c *peerConn) header(code alwayson.Code, id uint32) alwayson.Header {
	return alwayson.Header{Code: code, RequestID: id, EndpointID: 77, SessionID: peerSession}
}

// got are the answers to one request.
func (c *peerConn) got(id uint32) []alwayson.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[id]
}

// only is the one answer to a request that must be there by now.
func (c *peerConn) only(id uint32) (alwayson.Code, *alwayson.Response) {
	c.p.t.Helper()
	all := c.got(id)
	if len(all) != 1 {
		c.p.t.Fatalf("%d answers to request %x, want 1", len(all), id)
	}
	if all[0].EndpointID != 77 {
		c.p.t.Errorf("answer with endpoint id %d, want the request's 77", all[0].EndpointID)
	}
	return all[0].Code, all[0].Body.(*alwayson.Response)
}

// runner is a client that runs against a peer.
type runner struct {
	*Client
	cancel context.CancelFunc
	result chan error
}

func (r *runner) stop() error {
	r.cancel()
	return <-r.result
}

// start runs a client against the peer over pipes, until the test ends.
func (p *peer) start(h Handler, change func(*Options)) *runner {
	p.t.Helper()
	opt := Options{
		URL:    "ws://platform.test/Thingworx/WS",
		AppKey: func(context.Context) (string, error) { return testKey, nil },
		Dial:   p.dial,
	}
	if change != nil {
		change(&opt)
	}
	return run(p.t, opt, h)
}

func run(t testing.TB, opt Options, h Handler) *runner {
	t.Helper()
	c, err := NewClient(opt, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{Client: c, cancel: cancel, result: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

// bubble runs f in a bubble of virtual time with a peer in it.
func bubble(t *testing.T, f func(t *testing.T, p *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newPeer(t)) })
}

// pass lets d go by and what follows from it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func service(thing, name string) *alwayson.Request {
	return alwayson.ServiceRequest(alwayson.EntityThing, thing, name, nil)
}

// mute is a platform that does not answer requests.
func mute(*peerConn, alwayson.Header, *alwayson.Request) *alwayson.Response { return nil }

// bare is a message of a header alone.
func bare(h alwayson.Header) []byte {
	b := make([]byte, 15)
	b[0], b[1] = 1, byte(h.Code)
	binary.BigEndian.PutUint32(b[2:], h.RequestID)
	binary.BigEndian.PutUint32(b[6:], h.EndpointID)
	binary.BigEndian.PutUint32(b[10:], h.SessionID)
	return b
}

// acceptKey is what a server proves with that it speaks WebSocket.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
