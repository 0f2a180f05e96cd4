package simulator

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

// rawEdge speaks WebSocket by hand, the way PTC's client does: masks of zero,
// header and payload as two writes, pings with text, no pong, an empty CLOSE.
type rawEdge struct {
	t       *testing.T
	c       net.Conn
	r       *bufio.Reader
	head    string
	session uint32
}

func dialRaw(t *testing.T, p *Platform, extra string) *rawEdge {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	e := &rawEdge{t: t, c: c, r: bufio.NewReader(c)}
	fmt.Fprintf(c, "GET /Thingworx/WS HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nappKey: %s\r\n%s\r\n", testKey, extra)
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		e.head += line
		if line == "\r\n" {
			return e
		}
	}
}

func (e *rawEdge) frame(first byte, payload []byte) {
	e.t.Helper()
	head := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{first, 0xFE}, uint16(len(payload)))
	}
	head = append(head, 0, 0, 0, 0)
	if _, err := e.c.Write(head); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.c.Write(payload); err != nil {
		e.t.Fatal(err)
	}
}

// next reads one frame.
func (e *rawEdge) next() (first byte, payload []byte) {
	e.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(e.r, head[:]); err != nil {
		e.t.Fatalf("read frame: %v", err)
	}
	n := int(head[1])
	if n == 126 {
		var long [2]byte
		_, _ = io.ReadFull(e.r, long[:])
		n = int(binary.BigEndian.Uint16(long[:]))
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(e.r, payload); err != nil {
		e.t.Fatalf("read payload: %v", err)
	}
	return head[0], payload
}

func (e *rawEdge) message(code alwayson.Code, id uint32, body alwayson.Body) []byte {
	e.t.Helper()
	session := e.session
	if code == alwayson.AuthCode {
		session = alwayson.NoSession
	}
	b, err := alwayson.Append(nil, &alwayson.Message{Header: alwayson.Header{Code: code, RequestID: id, SessionID: session}, Body: body})
	if err != nil {
		e.t.Fatal(err)
	}
	return b
}

// answerTo reads frames until the answer to id comes.
func (e *rawEdge) answerTo(id uint32) alwayson.Message {
	e.t.Helper()
	for {
		first, payload := e.next()
		if first != 0x82 {
			continue
		}
		m, _, err := alwayson.Parse(payload, alwayson.Limits{})
		if err != nil {
			e.t.Fatalf("platform sent %x: %v", payload, err)
		}
		if m.Code.IsStatus() && m.RequestID == id {
			return m
		}
	}
}

func (e *rawEdge) auth() {
	e.t.Helper()
	e.frame(0x82, e.message(alwayson.AuthCode, 1, &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: testKey}}}))
	m := e.answerTo(1)
	if !m.Code.IsSuccess() {
		e.t.Fatalf("AUTH: %v", m.Code)
	}
	e.session = m.SessionID
}

func TestTheQuirksOfPTCsClient(t *testing.T) {
	begin := func(t *testing.T, extra string) (*Platform, *rawEdge) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}})
		e := dialRaw(t, p, extra)
		e.auth()
		return p, e
	}
	values := serviceOf("pump-1", "GetPropertyValues")
	alive := func(t *testing.T, e *rawEdge) {
		t.Helper()
		e.frame(0x82, e.message(alwayson.Post, 4242, values))
		if m := e.answerTo(4242); !m.Code.IsSuccess() {
			t.Fatalf("%v", m.Code)
		}
	}
	t.Run("the 101 says Connection: Upgrade exactly, accepts no extension, and nothing comes behind it", func(t *testing.T) {
		p := start(t, Options{})
		e := dialRaw(t, p, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
		if !strings.Contains(e.head, "\r\nConnection: Upgrade\r\n") || strings.Contains(strings.ToLower(e.head), "extensions") {
			t.Fatal(e.head)
		}
		if n := e.r.Buffered(); n != 0 {
			t.Fatalf("%d bytes behind the 101", n)
		}
	})
	t.Run("a ping with text gets a pong with that text", func(t *testing.T) {
		_, e := begin(t, "")
		e.frame(0x89, []byte("keep alive"))
		if first, payload := e.next(); first != 0x8A || string(payload) != "keep alive" {
			t.Fatalf("%x %q", first, payload)
		}
	})
	t.Run("an empty CLOSE is answered with a code", func(t *testing.T) {
		_, e := begin(t, "")
		e.frame(0x88, nil)
		if first, payload := e.next(); first != 0x88 || len(payload) < 2 || binary.BigEndian.Uint16(payload) != 1000 {
			t.Fatalf("%x %x", first, payload)
		}
		if _, err := e.r.ReadByte(); err != io.EOF {
			t.Fatalf("not hung up: %v", err)
		}
	})
	t.Run("a stop of the platform sends CLOSE 1001", func(t *testing.T) {
		p, e := begin(t, "")
		p.shut()
		if first, payload := e.next(); first != 0x88 || binary.BigEndian.Uint16(payload) != 1001 {
			t.Fatalf("%x %x", first, payload)
		}
	})
	t.Run("frames keep to Max-Frame-Size and the last is not empty", func(t *testing.T) {
		p, e := begin(t, "Max-Frame-Size: 512\r\n")
		p.mu.Lock()
		th := p.things["pump-1"]
		p.mu.Unlock()
		th.mu.Lock()
		th.description = strings.Repeat("d", 512*3-300)
		th.mu.Unlock()
		e.frame(0x82, e.message(alwayson.Post, 7, values))
		var whole []byte
		for i := 0; ; i++ {
			first, payload := e.next()
			if len(payload) > 512 || len(payload) == 0 || (i == 0) != (first&0x0f == 2) {
				t.Fatalf("frame %d: %x, %d bytes", i, first, len(payload))
			}
			whole = append(whole, payload...)
			if first&0x80 != 0 {
				break
			}
		}
		if _, _, err := alwayson.Parse(whole, alwayson.Limits{}); err != nil || len(whole) < 1024 {
			t.Fatalf("%d bytes: %v", len(whole), err)
		}
	})
	t.Run("bytes behind a body cost nothing", func(t *testing.T) {
		_, e := begin(t, "")
		e.frame(0x82, append(e.message(alwayson.Post, 8, values), 0, 0xff, 0))
		if m := e.answerTo(8); !m.Code.IsSuccess() {
			t.Fatalf("%v", m.Code)
		}
	})
	t.Run("a request that ends where its parameters should begin has none", func(t *testing.T) {
		_, e := begin(t, "")
		b := e.message(alwayson.Post, 9, values)
		e.frame(0x82, b[:len(b)-1])
		if m := e.answerTo(9); !m.Code.IsSuccess() {
			t.Fatalf("%v", m.Code)
		}
	})
	t.Run("a request that ends anywhere else is BAD_REQUEST and the connection stays", func(t *testing.T) {
		_, e := begin(t, "")
		b := e.message(alwayson.Post, 10, values)
		e.frame(0x82, b[:len(b)-5])
		if m := e.answerTo(10); m.Code != alwayson.BadRequest {
			t.Fatalf("%v", m.Code)
		}
		alive(t, e)
	})
	t.Run("a request cut in two messages without marker is answered once", func(t *testing.T) {
		p, e := begin(t, "")
		b := e.message(alwayson.Post, 11, serviceOf("pump-1", "Echo", text("in", strings.Repeat("q", 8120))))
		e.frame(0x82, b[:8150])
		e.frame(0x82, append(bytes.Clone(b[:15]), b[8150:]...))
		if m := e.answerTo(11); m.Code != alwayson.BadRequest {
			t.Fatalf("%v", m.Code)
		}
		e.frame(0x82, e.message(alwayson.Post, 12, values))
		for {
			_, payload := e.next()
			h, _, _ := alwayson.ParseHeader(payload)
			if h.RequestID == 11 {
				t.Fatal("answered twice")
			}
			if h.RequestID == 12 {
				break
			}
		}
		if got := p.Stats().BadMessages; got != 2 {
			t.Fatalf("%d bad messages", got)
		}
	})
	t.Run("a bare header behind a response of 8171 bytes is ignored, even while a call waits", func(t *testing.T) {
		p, e := begin(t, "")
		e.frame(0x82, e.message(alwayson.BindCode, 2, &alwayson.Bind{Names: []string{"pump-1"}}))
		e.answerTo(2)
		answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Echo"))
		id := uint32(0)
		for id == 0 {
			_, payload := e.next()
			if m, _, err := alwayson.Parse(payload, alwayson.Limits{}); err == nil {
				if req, yes := m.Body.(*alwayson.Request); yes && req.Name == "Echo" {
					id = m.RequestID
				}
			}
		}
		b := e.message(alwayson.Success, id, result(alwayson.NewString(strings.Repeat("q", 8147))))
		e.frame(0x82, b[:15])
		e.frame(0x82, b)
		e.frame(0x82, b[:15])
		if resp := <-answer; len(alwayson.Result(resp.Content, "result").Text()) != 8147 {
			t.Fatalf("%+v", resp)
		}
		alive(t, e)
	})
	t.Run("text messages are ignored", func(t *testing.T) {
		_, e := begin(t, "")
		e.frame(0x81, []byte("hello"))
		alive(t, e)
	})
	t.Run("a message in several frames with a ping between is joined", func(t *testing.T) {
		_, e := begin(t, "")
		b := e.message(alwayson.Post, 13, values)
		e.frame(0x02, b[:20])
		e.frame(0x89, []byte("x"))
		e.frame(0x80, b[20:])
		if m := e.answerTo(13); !m.Code.IsSuccess() {
			t.Fatalf("%v", m.Code)
		}
	})
	t.Run("a message over the maximum is refused and the connection stays", func(t *testing.T) {
		p := start(t, Options{Strict: true, Things: []ThingSpec{pump}, MaxMessage: 4096})
		e := dialRaw(t, p, "")
		e.auth()
		e.frame(0x82, append(e.message(alwayson.Post, 14, values), make([]byte, 9000)...))
		if m := e.answerTo(14); m.Code != alwayson.EntityTooLarge {
			t.Fatalf("%v", m.Code)
		}
		alive(t, e)
	})
}
