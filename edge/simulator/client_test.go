package simulator

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"thingbridge/edge/alwayson"
)

const testKey = "key-1"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a Platform for the length of a test.
func start(t testing.TB, o Options) *Platform {
	t.Helper()
	if o.AppKey == "" {
		o.AppKey = testKey
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

// edge is a scripted edge: it sends what the test says and keeps what comes.
type edge struct {
	t       testing.TB
	ws      *websocket.Conn
	session uint32
	nextID  uint32
	in      chan alwayson.Message
	chunks  atomic.Int32 // multipart messages received
	ended   chan error
}

// dial connects an edge without authenticating it.
func dial(t testing.TB, p *Platform, header http.Header) *edge {
	t.Helper()
	d := websocket.Dialer{WriteBufferSize: 1 << 20, HandshakeTimeout: 5 * time.Second}
	return dialWith(t, p.WSURL(), d, header)
}

func dialWith(t testing.TB, url string, d websocket.Dialer, header http.Header) *edge {
	t.Helper()
	ws, resp, err := d.Dial(url, header)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	e := &edge{t: t, ws: ws, session: alwayson.NoSession, in: make(chan alwayson.Message, 1<<14), ended: make(chan error, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		e.read()
	}()
	t.Cleanup(func() {
		_ = ws.Close()
		<-read
	})
	return e
}

// read keeps every message, joined if it came in chunks.
func (e *edge) read() {
	r := alwayson.NewReassembler(alwayson.ReassemblerOptions{})
	for {
		_, b, err := e.ws.ReadMessage()
		if err != nil {
			e.ended <- err
			return
		}
		h, multipart, err := alwayson.ParseHeader(b)
		if err != nil {
			e.t.Errorf("platform sent %x: %v", b, err)
			continue
		}
		m := alwayson.Message{Header: h}
		if multipart {
			e.chunks.Add(1)
			var whole alwayson.Assembled
			if whole, err = r.Add(time.Now(), b); err != nil || !whole.Done {
				if err != nil {
					e.t.Errorf("chunk: %v", err)
				}
				continue
			}
			m.Body, _, err = alwayson.ParseBody(h, whole.Body, alwayson.Limits{})
		} else {
			m, _, err = alwayson.Parse(b, alwayson.Limits{})
		}
		if err != nil {
			e.t.Errorf("platform sent %x: %v", b, err)
			continue
		}
		e.in <- m
	}
}

// connect gives an authenticated edge.
func connect(t testing.TB, p *Platform) *edge {
	t.Helper()
	e := dial(t, p, nil)
	e.auth(testKey)
	return e
}

func (e *edge) auth(k string) {
	e.t.Helper()
	resp, h := e.exchange(alwayson.AuthCode, &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: k}}})
	if !resp.Code.IsSuccess() {
		e.t.Fatalf("AUTH: %v %s", resp.Code, resp.Reason)
	}
	e.session = h.SessionID
}

func (e *edge) raw(b []byte) {
	e.t.Helper()
	if err := e.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		e.t.Fatalf("send: %v", err)
	}
}

func (e *edge) encode(h alwayson.Header, body alwayson.Body) []byte {
	e.t.Helper()
	b, err := alwayson.Append(nil, &alwayson.Message{Header: h, Body: body})
	if err != nil {
		e.t.Fatalf("encode: %v", err)
	}
	return b
}

// send sends a message and returns its request id.
func (e *edge) send(code alwayson.Code, body alwayson.Body) uint32 {
	e.t.Helper()
	e.nextID++
	h := alwayson.Header{Code: code, RequestID: e.nextID, SessionID: e.session}
	if code == alwayson.AuthCode {
		h.SessionID = alwayson.NoSession
	}
	chunks, err := alwayson.Chunks(nil, e.encode(h, body), 8192)
	if err != nil {
		e.t.Fatalf("chunks: %v", err)
	}
	for _, c := range chunks {
		e.raw(c)
	}
	return e.nextID
}

// next gives the next message from the platform.
func (e *edge) next() alwayson.Message {
	e.t.Helper()
	select {
	case m := <-e.in:
		return m
	case err := <-e.ended:
		e.ended <- err
		e.t.Fatalf("connection ended: %v", err)
	case <-time.After(10 * time.Second):
		e.t.Fatal("no message from the platform within 10 s")
	}
	return alwayson.Message{}
}

// exchange sends a message and waits for its answer; requests of the platform
// that come first are answered by the standard edge behaviour.
func (e *edge) exchange(code alwayson.Code, body alwayson.Body) (*alwayson.Response, alwayson.Header) {
	e.t.Helper()
	id := e.send(code, body)
	for {
		m := e.next()
		if resp, yes := m.Body.(*alwayson.Response); yes && m.RequestID == id {
			return resp, m.Header
		}
		e.serve(m, nil)
	}
}

// request makes a request of the platform and gives the answer.
func (e *edge) request(code alwayson.Code, req *alwayson.Request) *alwayson.Response {
	e.t.Helper()
	resp, _ := e.exchange(code, req)
	return resp
}

// must is request for what has to succeed.
func (e *edge) must(code alwayson.Code, req *alwayson.Request) alwayson.Value {
	e.t.Helper()
	resp := e.request(code, req)
	if !resp.Code.IsSuccess() {
		e.t.Fatalf("%v %s/%s: %v %s", code, req.Entity, req.Name, resp.Code, resp.Reason)
	}
	return resp.Content
}

// answer answers a request of the platform.
func (e *edge) answer(m alwayson.Message, resp *alwayson.Response) {
	e.t.Helper()
	code := resp.Code
	if code == 0 {
		code = alwayson.Success
	}
	b := e.encode(alwayson.Header{Code: code, RequestID: m.RequestID, EndpointID: m.EndpointID, SessionID: e.session}, resp)
	chunks, err := alwayson.Chunks(nil, b, 8192)
	if err != nil {
		e.t.Fatalf("chunks: %v", err)
	}
	for _, c := range chunks {
		e.raw(c)
	}
}

// serve answers a request of the platform: with what handle gives, else
// NOT_FOUND for everything but NotifyPropertyUpdate.
func (e *edge) serve(m alwayson.Message, handle func(*alwayson.Request) *alwayson.Response) {
	e.t.Helper()
	req, yes := m.Body.(*alwayson.Request)
	if !yes {
		return
	}
	if handle != nil {
		if resp := handle(req); resp != nil {
			e.answer(m, resp)
			return
		}
	}
	if req.Name == "NotifyPropertyUpdate" {
		e.answer(m, ok(alwayson.Value{}))
		return
	}
	e.answer(m, fail(alwayson.NotFound, "no %s here", req.Name))
}

// expect serves the platform's requests until one of the given name comes.
func (e *edge) expect(name string, handle func(*alwayson.Request) *alwayson.Response) (alwayson.Message, *alwayson.Request) {
	e.t.Helper()
	for {
		m := e.next()
		if req, yes := m.Body.(*alwayson.Request); yes && req.Name == name {
			return m, req
		}
		e.serve(m, handle)
	}
}

func (e *edge) bind(names ...string) *alwayson.Response {
	e.t.Helper()
	resp, _ := e.exchange(alwayson.BindCode, &alwayson.Bind{Names: names})
	return resp
}

// mustBind binds names and asks for their subscriptions once notified.
func (e *edge) mustBind(names ...string) {
	e.t.Helper()
	for _, name := range names {
		if resp := e.bind(name); !resp.Code.IsSuccess() {
			e.t.Fatalf("BIND %v: %v %s", name, resp.Code, resp.Reason)
		}
		m, req := e.expect("NotifyPropertyUpdate", nil)
		e.answer(m, ok(alwayson.Value{}))
		e.must(alwayson.Post, alwayson.SubscriptionsRequest(req.Entity))
	}
}

func (e *edge) push(thing string, vals ...alwayson.PropertyValue) *alwayson.Response {
	e.t.Helper()
	return e.request(alwayson.Post, alwayson.PushRequest(thing, vals))
}

func serviceOf(thing, name string, in ...alwayson.Named) *alwayson.Request {
	return alwayson.ServiceRequest(alwayson.EntityThing, thing, name, alwayson.OneRow(in...))
}

func named(name string, v alwayson.Value) alwayson.Named { return alwayson.Named{Name: name, Value: v} }
func text(name, s string) alwayson.Named                 { return named(name, alwayson.NewString(s)) }
func number(name string, f float64) alwayson.Named       { return named(name, alwayson.NewNumber(f)) }

// closeCode waits for the end of the connection and gives its CLOSE code; -1 without one.
func (e *edge) closeCode() int {
	e.t.Helper()
	select {
	case err := <-e.ended:
		e.ended <- err
		if ce, yes := err.(*websocket.CloseError); yes && ce.Code != websocket.CloseAbnormalClosure {
			return ce.Code
		}
		return -1
	case <-time.After(65 * time.Second):
		e.t.Fatal("connection still open after 65 s")
		return 0
	}
}

// eventually waits for a condition that another goroutine makes true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 10 s: %s", what)
		case <-tick.C:
		}
	}
}
