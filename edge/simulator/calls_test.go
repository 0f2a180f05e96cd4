package simulator

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// calling starts a call of the platform and gives its answer later.
func calling(t *testing.T, p *Platform, method alwayson.Code, req *alwayson.Request) <-chan *alwayson.Response {
	t.Helper()
	answer := make(chan *alwayson.Response, 1)
	go func() {
		resp, err := p.Call(context.Background(), method, req)
		if err != nil {
			t.Error(err)
		}
		answer <- resp
	}()
	return answer
}

func TestCallsToTheEdge(t *testing.T) {
	begin := func(t *testing.T) (*Platform, *edge) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump, {Name: "pump-2"}}})
		e := connect(t, p)
		e.mustBind("pump-1")
		return p, e
	}
	t.Run("inputs reach the edge and the result comes back", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset", number("times", 2)))
		m, req := e.expect("Reset", nil)
		if req.Params.Cell(0, "times").Number() != 2 || m.RequestID < firstRequestID {
			t.Fatalf("%+v id %x", req, m.RequestID)
		}
		e.answer(m, result(alwayson.NewString("done")))
		if resp := <-answer; alwayson.Result(resp.Content, "result").Text() != "done" {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("GetRemoteMetadata asks the edge for GetMetadata", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "GetRemoteMetadata"))
		m, _ := e.expect("GetMetadata", nil)
		e.answer(m, metadataOf("pump-1"))
		if resp := <-answer; !strings.Contains(alwayson.Result(resp.Content, "result").Text(), `"Reset"`) {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("a changed identifier releases the binding until the edge binds by it", func(t *testing.T) {
		p, e := begin(t)
		e.must(alwayson.Post, serviceOf("pump-1", "SetIdentifier", text("identifier", "SN-9")))
		if p.lookup("pump-1").info().Connected || e.bind("pump-1").Code.IsSuccess() {
			t.Fatal("still bound by its name")
		}
		e.mustBind("*SN-9")
		if !p.lookup("pump-1").info().Connected {
			t.Fatal("not bound by its identifier")
		}
	})
	t.Run("an edge that does not read is cut off, others are not held up", func(t *testing.T) {
		p, _ := begin(t)
		deaf := connect(t, p)
		deaf.mustBind("pump-2")
		p.mu.RLock()
		c := p.endpoints["pump-2"].c
		p.mu.RUnlock()
		c.queue(make([]byte, outLimit+1))
		eventually(t, "the connection is gone", func() bool { return len(p.Connections()) == 1 })
		if p.Stats().SlowClosed != 1 {
			t.Fatalf("%+v", p.Stats())
		}
	})
	t.Run("the edge's error is the caller's", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset"))
		m, _ := e.expect("Reset", nil)
		e.answer(m, fail(alwayson.InternalServerError, "jammed"))
		if resp := <-answer; resp.Code != alwayson.InternalServerError || resp.Reason != "jammed" {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("an undeclared service goes to the edge too", func(t *testing.T) {
		p, e := begin(t)
		calling(t, p, alwayson.Post, serviceOf("pump-1", "Unheard"))
		m, _ := e.expect("Unheard", nil)
		e.answer(m, fail(alwayson.NotFound, "no"))
	})
	t.Run("an edge that calls its own thing gets the request itself", func(t *testing.T) {
		_, e := begin(t)
		id := e.send(alwayson.Post, serviceOf("pump-1", "Reset"))
		m, _ := e.expect("Reset", nil)
		e.answer(m, result(alwayson.NewString("own")))
		if m = e.next(); m.RequestID != id || alwayson.Result(m.Body.(*alwayson.Response).Content, "result").Text() != "own" {
			t.Fatalf("%+v", m)
		}
	})
	t.Run("20 KB go both ways in chunks", func(t *testing.T) {
		p, e := begin(t)
		big := strings.Repeat("0123456789", 2000)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset", text("in", big)))
		m, req := e.expect("Reset", nil)
		if req.Params.Cell(0, "in").Text() != big || e.chunks.Load() < 2 {
			t.Fatalf("%d chunks", e.chunks.Load())
		}
		e.answer(m, result(alwayson.NewString(big)))
		if resp := <-answer; alwayson.Result(resp.Content, "result").Text() != big {
			t.Fatalf("%v", resp.Code)
		}
	})
	t.Run("over the maximum message size is the caller's error", func(t *testing.T) {
		p, _ := begin(t)
		resp := <-calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset", text("in", strings.Repeat("x", 2<<20))))
		if resp.Code != alwayson.EntityTooLarge {
			t.Fatalf("%v %s", resp.Code, resp.Reason)
		}
	})
	t.Run("a thing that is not connected is SERVICE_UNAVAILABLE", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		if resp := <-calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset")); resp.Code != alwayson.ServiceUnavailable {
			t.Fatalf("%v", resp.Code)
		}
	})
	t.Run("a call whose edge disconnects ends at once", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset"))
		e.expect("Reset", nil)
		_ = e.ws.Close()
		if resp := <-answer; resp.Code != alwayson.ServiceUnavailable || !strings.Contains(resp.Reason, "disconnected") {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("an answer that cannot be read ends the call", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset"))
		m, _ := e.expect("Reset", nil)
		b := e.encode(alwayson.Header{Code: alwayson.Success, RequestID: m.RequestID, SessionID: e.session}, result(alwayson.NewString("done")))
		e.raw(b[:len(b)-4])
		if resp := <-answer; resp.Code != alwayson.BadGateway {
			t.Fatalf("%+v", resp)
		}
	})
	t.Run("a write to a bound property goes to the edge and is stored when pushed", func(t *testing.T) {
		p, e := begin(t)
		answer := calling(t, p, alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "running",
			alwayson.OneRow(named("running", alwayson.NewBoolean(true)))))
		m, req := e.expect("isRunning", nil)
		if m.Code != alwayson.Put || !req.Params.Cell(0, "isRunning").Bool() {
			t.Fatalf("%v %+v", m.Code, req)
		}
		e.answer(m, ok(alwayson.Value{}))
		if resp := <-answer; !resp.Code.IsSuccess() {
			t.Fatalf("%+v", resp)
		}
		if _, known := p.Value("pump-1", "running"); known {
			t.Fatal("stored without a push")
		}
		e.push("pump-1", good("isRunning", alwayson.NewBoolean(true), 1))
		if v, _ := p.Value("pump-1", "running"); !v.Value.Bool() {
			t.Fatal("push not stored")
		}
	})
	t.Run("a read of an unknown value asks the edge, a known one does not", func(t *testing.T) {
		p, e := begin(t)
		read := alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "running", nil)
		answer := calling(t, p, alwayson.Get, read)
		m, _ := e.expect("isRunning", nil)
		e.answer(m, ok(alwayson.NewTable(alwayson.OneRow(named("isRunning", alwayson.NewBoolean(true))))))
		for range 2 {
			if resp := <-answer; !resp.Content.Table().Cell(0, "running").Bool() {
				t.Fatalf("%+v", resp)
			}
			answer = calling(t, p, alwayson.Get, read)
		}
		<-answer
	})
}

// pipes is a listener whose connections are in-memory pipes, for synctest.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	close(l.closed)
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (l *pipes) dial() net.Conn {
	near, far := net.Pipe()
	l.accept <- far
	return near
}

// inBubble runs a platform on pipes in a synctest bubble.
func inBubble(t *testing.T, o Options, f func(t *testing.T, p *Platform, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		o.Listener = l
		p := start(t, o)
		f(t, p, l)
	})
}

func dialPipe(t *testing.T, p *Platform, l *pipes) *edge {
	d := websocket.Dialer{WriteBufferSize: 1 << 20, NetDial: func(string, string) (net.Conn, error) { return l.dial(), nil }}
	return dialWith(t, p.WSURL(), d, nil)
}

func TestTimes(t *testing.T) {
	strict := Options{Strict: true, Things: []ThingSpec{pump}}
	t.Run("a silent edge is pinged after 45 s and closed after 60 s", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			e := dialPipe(t, p, l)
			pinged := make(chan time.Time, 9)
			e.ws.SetPingHandler(func(string) error { pinged <- time.Now(); return nil }) // PTC's client answers none
			begin := time.Now()
			e.auth(testKey)
			if at := (<-pinged).Sub(begin); at != 45*time.Second {
				t.Fatalf("pinged after %v", at)
			}
			if code := e.closeCode(); code != websocket.CloseNormalClosure || time.Since(begin) != time.Minute {
				t.Fatalf("code %d after %v", code, time.Since(begin))
			}
			if len(pinged) != 0 || p.Stats().IdleClosed != 1 {
				t.Fatalf("%d more pings, stats %+v", len(pinged), p.Stats())
			}
		})
	})
	t.Run("an edge that answers pings stays", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			e := dialPipe(t, p, l)
			e.auth(testKey)
			time.Sleep(10 * time.Minute)
			if resp := e.bind("pump-1"); !resp.Code.IsSuccess() {
				t.Fatal(resp.Code)
			}
		})
	})
	t.Run("a connection without AUTH is closed after 15 s", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			begin := time.Now()
			e := dialPipe(t, p, l)
			if code := e.closeCode(); code != websocket.ClosePolicyViolation || time.Since(begin) != 15*time.Second {
				t.Fatalf("code %d after %v", code, time.Since(begin))
			}
		})
	})
	t.Run("a bare TCP connection is reaped after 10 s", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			begin := time.Now()
			c := l.dial()
			if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) != 10*time.Second {
				t.Fatalf("%v after %v", err, time.Since(begin))
			}
		})
	})
	t.Run("an edge that never answers gives 504 after 30 s, and its late answer counts for nothing", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			e := dialPipe(t, p, l)
			e.auth(testKey)
			e.mustBind("pump-1")
			begin := time.Now()
			answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Reset"))
			m, _ := e.expect("Reset", nil)
			if resp := <-answer; resp.Code != alwayson.GatewayTimeout || time.Since(begin) != 30*time.Second {
				t.Fatalf("%v after %v", resp.Code, time.Since(begin))
			}
			e.answer(m, result(alwayson.NewString("late")))
			e.must(alwayson.Post, serviceOf("pump-1", "GetPropertyValues"))
			if p.Stats().LateAnswers != 1 {
				t.Fatalf("%+v", p.Stats())
			}
		})
	})
	t.Run("a dead connection keeps its names for HoldDead", func(t *testing.T) {
		held := strict
		held.HoldDead = 20 * time.Second
		inBubble(t, held, func(t *testing.T, p *Platform, l *pipes) {
			a, b := dialPipe(t, p, l), dialPipe(t, p, l)
			a.auth(testKey)
			b.auth(testKey)
			a.mustBind("pump-1")
			_ = a.ws.NetConn().Close()
			synctest.Wait()
			dead := func(c ConnectionInfo) bool { return c.Dead }
			if resp := b.bind("pump-1"); resp.Code.IsSuccess() || !slices.ContainsFunc(p.Connections(), dead) {
				t.Fatalf("%v %+v", resp.Code, p.Connections())
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
			b.mustBind("pump-1")
		})
	})
	t.Run("an incomplete multipart request is answered after 50 s", func(t *testing.T) {
		inBubble(t, strict, func(t *testing.T, p *Platform, l *pipes) {
			e := dialPipe(t, p, l)
			e.auth(testKey)
			b := e.encode(alwayson.Header{Code: alwayson.Post, RequestID: 900, SessionID: e.session}, serviceOf("pump-1", "Reset", text("in", strings.Repeat("x", 20000))))
			chunks, _ := alwayson.Chunks(nil, b, 8192)
			e.raw(chunks[0])
			time.Sleep(51 * time.Second)
			e.bind("pump-1")
			if p.Stats().BadMessages != 1 {
				t.Fatalf("%+v", p.Stats())
			}
		})
	})
}
