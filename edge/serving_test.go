package edge

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

func TestEachRequestIsAnsweredOnce(t *testing.T) {
	ok := alwayson.OK(alwayson.Value{})
	cases := map[string]struct {
		respond func(respond func(*alwayson.Response))
		want    alwayson.Code
		after   time.Duration
	}{
		"answered twice: the first counts":     {func(r func(*alwayson.Response)) { r(ok); r(alwayson.Fail(alwayson.NotFound, "no")) }, alwayson.Success, 0},
		"never answered: the client does":      {func(func(*alwayson.Response)) {}, alwayson.GatewayTimeout, 28 * time.Second},
		"answered too late: only the client's": {func(r func(*alwayson.Response)) { time.AfterFunc(29*time.Second, func() { r(ok) }) }, alwayson.GatewayTimeout, 30 * time.Second},
		"answered from many goroutines": {func(r func(*alwayson.Response)) {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { r(ok) })
			}
			wg.Wait()
		}, alwayson.Success, 0},
		"answered with nothing":                   {func(r func(*alwayson.Response)) { r(nil) }, alwayson.InternalServerError, 0},
		"answered with a code forgotten":          {func(r func(*alwayson.Response)) { r(&alwayson.Response{Reason: "x"}) }, alwayson.InternalServerError, 0},
		"answered with an error without a reason": {func(r func(*alwayson.Response)) { r(&alwayson.Response{Code: alwayson.NotFound}) }, alwayson.NotFound, 0},
		"an answer that cannot be encoded": {func(r func(*alwayson.Response)) {
			r(alwayson.OK(alwayson.NewTable(&alwayson.InfoTable{Rows: [][]alwayson.Value{{alwayson.NewString("x")}}})))
		}, alwayson.InternalServerError, 0},
		"an answer over the message size": {func(r func(*alwayson.Response)) { r(alwayson.OK(alwayson.NewString(strings.Repeat("x", 1<<20)))) }, alwayson.InternalServerError, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *peer) {
				h := &recorder{onRequest: func(_ string, _ alwayson.Code, _ *alwayson.Request, respond func(*alwayson.Response)) {
					tc.respond(respond)
				}}
				c := p.start(h, nil)
				c.Want("a")
				pass(time.Millisecond)
				id := p.last().ask(alwayson.Post, service("a", "S"))
				pass(tc.after + time.Millisecond)
				if code, resp := p.last().only(id); code != tc.want || (code != alwayson.Success && resp.Reason == "") {
					t.Errorf("answered %v %q, want %v with a reason", code, resp.Reason, tc.want)
				}
				pass(time.Minute)
				p.last().only(id)
				if h.served != 1 {
					t.Errorf("handed over %d times", h.served)
				}
			})
		})
	}
}

func TestTooManyRequestsAreRefusedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{onRequest: func(string, alwayson.Code, *alwayson.Request, func(*alwayson.Response)) {}}
		c := p.start(h, func(o *Options) { o.MaxServing, o.MaxServingThing = 3, 3 })
		c.Want("a")
		pass(time.Millisecond)
		var ids []uint32
		for range 5 {
			ids = append(ids, p.last().ask(alwayson.Post, service("a", "S")))
		}
		pass(time.Millisecond)
		for i, id := range ids {
			if i < 3 {
				if n := len(p.last().got(id)); n != 0 {
					t.Errorf("request %d answered at once", i)
				}
				continue
			}
			if code, _ := p.last().only(id); code != alwayson.ServiceUnavailable {
				t.Errorf("request %d answered %v", i, code)
			}
		}
		pass(28 * time.Second)
		for _, id := range ids[:3] {
			if code, _ := p.last().only(id); code != alwayson.GatewayTimeout {
				t.Errorf("answered %v", code)
			}
		}
		h.mu.Lock()
		h.onRequest = nil
		h.mu.Unlock()
		id := p.last().ask(alwayson.Post, service("a", "S"))
		pass(time.Millisecond)
		if code, _ := p.last().only(id); code != alwayson.Success {
			t.Errorf("after the time-outs: %v", code)
		}
	})
}

func TestTheTablesOfRequestsAreBoundedTogether(t *testing.T) {
	boundedTogether(t, func(o *Options) { o.MaxServingCells = 3000 }, func(cells int) alwayson.Value {
		table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: "n", Type: alwayson.TypeNumber}}}
		for range cells {
			table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewNumber(1)})
		}
		return alwayson.NewTable(table)
	}, 1600, 1300, 700, 300)
}

func TestTheBytesOfRequestsAreBoundedTogether(t *testing.T) {
	boundedTogether(t, func(o *Options) { o.MaxServingBytes = 300_000 }, func(bytes int) alwayson.Value {
		return alwayson.NewString(strings.Repeat("x", bytes))
	}, 160_000, 130_000, 70_000, 30_000)
}

// boundedTogether asks with inputs of four sizes: the first two fit, the third does
// not beside them, the small one always does; after an answer the third fits.
func boundedTogether(t *testing.T, limit func(*Options), input func(size int) alwayson.Value, sizes ...int) {
	bubble(t, func(t *testing.T, p *peer) {
		var mu sync.Mutex
		var waiting []func(*alwayson.Response)
		h := &recorder{onRequest: func(_ string, _ alwayson.Code, _ *alwayson.Request, respond func(*alwayson.Response)) {
			mu.Lock()
			defer mu.Unlock()
			waiting = append(waiting, respond)
		}}
		c := p.start(h, limit)
		c.Want("a")
		pass(time.Millisecond)
		taken := func(size int) bool {
			req := service("a", "S")
			req.Params = alwayson.OneRow(alwayson.Named{Name: "in", Value: input(size)})
			id := p.last().ask(alwayson.Post, req)
			pass(time.Millisecond)
			return len(p.last().got(id)) == 0
		}
		for i, size := range sizes {
			if want := i != 2; taken(size) != want {
				t.Errorf("request %d, of size %d: taken %v", i, size, !want)
			}
		}
		mu.Lock()
		first := waiting[0]
		mu.Unlock()
		first(alwayson.OK(alwayson.Value{}))
		pass(time.Millisecond)
		if !taken(sizes[2]) {
			t.Error("there is no room after an answer")
		}
	})
}

func TestAFloodForOneThingLeavesRoomForTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{onRequest: func(string, alwayson.Code, *alwayson.Request, func(*alwayson.Response)) {}}
		c := p.start(h, func(o *Options) { o.MaxServing = 8 })
		c.Want("a", "b")
		pass(time.Millisecond)
		for i := range 10 {
			id := p.last().ask(alwayson.Post, service([]string{"a", "A"}[i%2], "S"))
			pass(time.Millisecond)
			if refused := len(p.last().got(id)) == 1; refused != (i >= 2) {
				t.Errorf("request %d for a Thing that may have 2 of 8: refused %v", i, refused)
			}
		}
		id := p.last().ask(alwayson.Post, service("b", "S"))
		pass(time.Millisecond)
		if n := len(p.last().got(id)); n != 0 {
			t.Error("the other Thing's request was answered at once")
		}
		pass(28 * time.Second)
		id = p.last().ask(alwayson.Post, service("a", "S"))
		pass(time.Millisecond)
		if n := len(p.last().got(id)); n != 0 {
			t.Error("after the time-outs the Thing has no room")
		}
	})
}

// TestForeignMessages sends what a platform should not, or seldom, sends; the
// connection must serve on after each.
func TestForeignMessages(t *testing.T) {
	hdr := func(code alwayson.Code, id uint32) alwayson.Header {
		return alwayson.Header{Code: code, RequestID: id, EndpointID: 77, SessionID: peerSession}
	}
	request := func(id uint32, r *alwayson.Request) []byte {
		b, err := alwayson.Append(nil, &alwayson.Message{Header: hdr(alwayson.Post, id), Body: r})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bind, err := alwayson.Append(nil, &alwayson.Message{Header: hdr(alwayson.BindCode, 9), Body: &alwayson.Bind{Names: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(code alwayson.Code, id uint32, number, count, size byte, share ...byte) []byte {
		b := bare(hdr(code, id))
		b[14] = 1
		return append(append(b, 0, number, 0, count, size, 0), share...)
	}
	cases := map[string]struct {
		raw  [][]byte
		want alwayson.Code // the one answer to id 9, 0: none
	}{
		"an empty message":                         {[][]byte{{}}, 0},
		"half a header":                            {[][]byte{{1, 3, 0, 0}}, 0},
		"a request that is a bare header":          {[][]byte{bare(hdr(alwayson.Post, 9))}, alwayson.BadRequest},
		"a request cut short":                      {[][]byte{request(9, service("a", "S"))[:20]}, alwayson.BadRequest},
		"bytes behind a request":                   {[][]byte{append(request(9, service("a", "S")), 1, 2, 3)}, alwayson.Success},
		"BIND from the platform":                   {[][]byte{bind}, alwayson.BadRequest},
		"UNBIND that cannot be read":               {[][]byte{bare(hdr(alwayson.Unbind, 9))}, alwayson.BadRequest},
		"AUTH from the platform":                   {[][]byte{append(bare(hdr(alwayson.AuthCode, 9)), 0)}, alwayson.BadRequest},
		"KEEP_ALIVE":                               {[][]byte{bare(hdr(alwayson.KeepAlive, 9))}, 0},
		"an unknown method":                        {[][]byte{append(bare(hdr(0x3E, 9)), 1, 2)}, 0},
		"an answer nobody waits for":               {[][]byte{append(bare(hdr(alwayson.Success, 9)), 0, 0xFF)}, 0},
		"an answer that cannot be read":            {[][]byte{append(bare(hdr(alwayson.Success, 9)), 1, 0x40)}, 0},
		"a request for another kind of entity":     {[][]byte{request(9, alwayson.ServiceRequest(alwayson.EntityResource, "a", "S", nil))}, alwayson.NotFound},
		"a request for a Thing that is not bound":  {[][]byte{request(9, service("b", "S"))}, alwayson.NotFound},
		"a Thing's name in another case":           {[][]byte{request(9, service("A", "S"))}, alwayson.Success},
		"a file transfer service":                  {[][]byte{request(9, service("a", "BrowseDirectory"))}, alwayson.NotImplemented},
		"a chunk with number 0":                    {[][]byte{chunk(alwayson.Post, 9, 0, 2, 4)}, alwayson.BadRequest},
		"a chunk of a message that is too large":   {[][]byte{chunk(alwayson.Post, 9, 1, 255, 255), chunk(alwayson.Post, 9, 2, 255, 255)}, alwayson.EntityTooLarge},
		"SynchronizeModelState without tables":     {[][]byte{request(9, service("a", "SynchronizeModelState"))}, alwayson.BadRequest},
		"a whole message that is too large":        {[][]byte{append(request(9, service("a", "S")), make([]byte, 1<<20)...)}, alwayson.EntityTooLarge},
		"an unasked SUCCESS with the reserved ids": {[][]byte{bare(alwayson.Header{Code: alwayson.Success, RequestID: alwayson.NoRequest, EndpointID: 0xFFFFFFFF, SessionID: 0xFFFFFFFF})}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *peer) {
				c := p.start(&recorder{}, nil)
				c.Want("a")
				pass(time.Millisecond)
				for _, b := range tc.raw {
					p.last().raw(b)
				}
				pass(time.Minute)
				if tc.want == 0 {
					if all := p.last().got(9); len(all) != 0 {
						t.Errorf("answered %v", all)
					}
				} else if code, resp := p.last().only(9); code != tc.want || code != alwayson.Success && resp.Reason == "" {
					t.Errorf("answered %v %q, want %v with a reason", code, resp.Reason, tc.want)
				}
				id := p.last().ask(alwayson.Post, service("a", "S"))
				pass(time.Millisecond)
				if code, _ := p.last().only(id); code != alwayson.Success || c.Status().Session != 1 {
					t.Errorf("afterwards answered %v on connection %d", code, c.Status().Session)
				}
			})
		})
	}
}

func TestTextMessagesAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		pass(time.Millisecond)
		p.last().ws.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 3<<20))
		pass(time.Second)
		if st := c.Status(); st.Session != 1 || !st.Connected {
			t.Errorf("status %+v", st)
		}
	})
}

func TestUnaskedSuccessIsAdopted(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		pass(time.Millisecond)
		p.last().raw(bare(alwayson.Header{Code: alwayson.Success, RequestID: alwayson.NoRequest, EndpointID: 5, SessionID: peerSession}))
		var endpoint atomic.Uint32
		p.set(func(s *script) {
			s.request = func(_ *peerConn, h alwayson.Header, _ *alwayson.Request) *alwayson.Response {
				endpoint.Store(h.EndpointID)
				return alwayson.OK(alwayson.Value{})
			}
		})
		pass(time.Millisecond)
		if _, err := c.Call(context.Background(), alwayson.Post, service("x", "S")); err != nil || endpoint.Load() != 5 {
			t.Errorf("endpoint id %d, err %v", endpoint.Load(), err)
		}
	})
}

func TestChunksMayComeInterleavedAndOutOfOrder(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		h := &recorder{onRequest: func(_ string, _ alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
			respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(req.Params.Cell(0, "v")))))
		}}
		c := p.start(h, nil)
		c.Want("a")
		pass(time.Millisecond)
		text := func(s string) *alwayson.Request {
			return alwayson.ServiceRequest(alwayson.EntityThing, "a", "S", alwayson.OneRow(alwayson.Named{Name: "v", Value: alwayson.NewString(s)}))
		}
		long1, long2 := strings.Repeat("1", 50_000), strings.Repeat("2", 40_000)
		conn := p.last()
		first := encodeTest(t, alwayson.Message{Header: conn.header(alwayson.Post, 1), Body: text(long1)})
		second := encodeTest(t, alwayson.Message{Header: conn.header(alwayson.Post, 2), Body: text(long2)})
		for i := len(first) - 1; i >= 0; i-- {
			conn.raw(first[i])
			if i < len(second) {
				conn.raw(second[i])
			}
			if i == 2 {
				conn.send(alwayson.Message{Header: conn.header(alwayson.Post, 3), Body: text("short")})
			}
		}
		pass(time.Millisecond)
		for id, want := range map[uint32]string{1: long1, 2: long2, 3: "short"} {
			if _, resp := conn.only(id); alwayson.Result(resp.Content, "result").Text() != want {
				t.Errorf("request %d did not come back whole", id)
			}
		}
	})
}

func TestIncompleteMultipartRequestIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		c := p.start(&recorder{}, nil)
		c.Want("a")
		pass(time.Millisecond)
		conn := p.last()
		chunks := encodeTest(t, alwayson.Message{Header: conn.header(alwayson.Post, 1), Body: alwayson.ServiceRequest(alwayson.EntityThing, "a", "S",
			alwayson.OneRow(alwayson.Named{Name: "v", Value: alwayson.NewString(strings.Repeat("x", 20_000))}))})
		conn.raw(chunks[0])
		pass(49 * time.Second)
		if n := len(conn.got(1)); n != 0 {
			t.Fatalf("answered too early")
		}
		pass(10 * time.Second)
		if code, _ := conn.only(1); code != alwayson.BadRequest {
			t.Errorf("answered %v", code)
		}
	})
}

// TestNestedCalls has the edge call a service of a Thing that it serves itself,
// while both sides' answers cross.
func TestNestedCalls(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		var c *runner
		h := &recorder{onRequest: func(_ string, _ alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
			if req.Name == "Inner" {
				respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewString("deep")))))
				return
			}
			c.Start(alwayson.Post, service("a", "Inner"), 0, func(r *alwayson.Response, err error) {
				if err != nil {
					r = alwayson.Fail(alwayson.BadGateway, err.Error())
				}
				respond(r)
			})
		}}
		p.request = func(pc *peerConn, hd alwayson.Header, r *alwayson.Request) *alwayson.Response {
			if r.Name != "Inner" {
				return alwayson.OK(alwayson.NewTable(&alwayson.InfoTable{}))
			}
			id := pc.ask(alwayson.Post, r)
			go func() {
				time.Sleep(time.Second)
				all := pc.got(id)
				if len(all) == 1 {
					pc.answer(hd, all[0].Body.(*alwayson.Response))
				}
			}()
			return nil
		}
		c = p.start(h, nil)
		c.Want("a")
		pass(time.Millisecond)
		id := p.last().ask(alwayson.Post, service("a", "Outer"))
		pass(2 * time.Second)
		if _, resp := p.last().only(id); alwayson.Result(resp.Content, "result").Text() != "deep" {
			t.Errorf("answer %v", resp)
		}
	})
}
