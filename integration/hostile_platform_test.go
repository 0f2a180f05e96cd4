package integration

import (
	wire "encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// meddler stands between the bridge and the platform, passes on what both say,
// and says to the bridge what no good platform would.
type meddler struct {
	t        testing.TB
	upstream string
	server   *httptest.Server

	mu          sync.Mutex
	conn        *websocket.Conn // to the bridge
	session     uint32
	connections int
	next        uint32                   // request id of its own
	answers     map[uint32]alwayson.Code // to its own requests
}

const (
	ownRequests  = 0xE0000000            // ids from here are the meddler's
	hostilePause = 20 * time.Millisecond // between two rounds of the same
)

func newMeddler(t testing.TB, upstream string) *meddler {
	t.Helper()
	m := &meddler{t: t, upstream: upstream, next: ownRequests, answers: make(map[uint32]alwayson.Code)}
	m.server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(func() {
		m.mu.Lock()
		if m.conn != nil {
			m.conn.Close()
		}
		m.mu.Unlock()
		m.server.Close()
	})
	return m
}

func (m *meddler) url() string {
	return "ws" + strings.TrimPrefix(m.server.URL, "http") + "/Thingworx/WS"
}

func (m *meddler) serve(w http.ResponseWriter, r *http.Request) {
	up, resp, err := websocket.DefaultDialer.Dial(m.upstream, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	resp.Body.Close()
	defer up.Close()
	down, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer down.Close()
	m.mu.Lock()
	m.conn = down
	m.connections++
	m.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer down.Close()
		for {
			kind, b, err := up.ReadMessage()
			if err != nil {
				return
			}
			m.mu.Lock()
			if h, _, err := alwayson.ParseHeader(b); err == nil {
				m.session = h.SessionID
			}
			err = down.WriteMessage(kind, b)
			m.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	for {
		kind, b, err := down.ReadMessage()
		if err != nil {
			break
		}
		if h, _, err := alwayson.ParseHeader(b); err == nil && h.RequestID >= ownRequests && h.Code.IsStatus() {
			m.mu.Lock()
			m.answers[h.RequestID] = h.Code
			m.mu.Unlock()
			continue
		}
		if up.WriteMessage(kind, b) != nil {
			break
		}
	}
	up.Close()
	<-done
}

// say sends messages to the bridge as they are.
func (m *meddler) say(kind int, messages ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.conn.SetWriteDeadline(time.Now().Add(patience))
	for _, b := range messages {
		if err := m.conn.WriteMessage(kind, b); err != nil {
			return // the connection has ended, which the test sees by the count of connections
		}
	}
}

// header makes one for a request of the meddler's own.
func (m *meddler) header(code alwayson.Code) alwayson.Header {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	return alwayson.Header{Code: code, RequestID: m.next, SessionID: m.session}
}

func (m *meddler) message(h alwayson.Header, body alwayson.Body) []byte {
	b, err := alwayson.Append(nil, &alwayson.Message{Header: h, Body: body})
	if err != nil {
		m.t.Error(err)
	}
	return b
}

func (m *meddler) call(thing, service string) []byte {
	return m.message(m.header(alwayson.Post), alwayson.ServiceRequest(alwayson.EntityThing, thing, service, nil))
}

// chunk is one piece of a message of many.
func (m *meddler) chunk(h alwayson.Header, number, count, size uint16, share []byte) []byte {
	b := []byte{1, byte(h.Code)}
	for _, n := range []uint32{h.RequestID, h.EndpointID, h.SessionID} {
		b = wire.BigEndian.AppendUint32(b, n)
	}
	b = append(b, 1)
	for _, n := range []uint16{number, count, size} {
		b = wire.BigEndian.AppendUint16(b, n)
	}
	return append(b, share...)
}

func (m *meddler) answered() map[alwayson.Code]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[alwayson.Code]int{}
	for _, c := range m.answers {
		counts[c]++
	}
	clear(m.answers)
	return counts
}

func (m *meddler) connected() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connections
}

// nested is a call whose table holds a table that holds a table …
func (m *meddler) nested(levels int) []byte {
	b := m.call("honest-1", "Echo")
	b = b[:len(b)-1]
	for range levels {
		// A table of one INFOTABLE field and one row, whose only cell is the next.
		b = append(b, byte(alwayson.TypeInfoTable), 1, 1, 'f', 0, byte(alwayson.TypeInfoTable), 0, 1)
	}
	return b
}

// TestHostilePlatform has the platform's connection carry what a broken or
// hostile platform would say, while an honest Thing's values and calls go on.
func TestHostilePlatform(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	m := newMeddler(t, s.webSocket(s.address))
	br := newBridge(t, b, m.url(), "")
	br.waitReady()
	h := newHonest(t, b, s)
	victim := newDevice(t, b, "victim")
	victim.announce("victim-1", `{"services": {"Never": {"timeout": "2s"}}}`)
	s.waitThing("victim-1", true)
	h.probe()
	t.Logf("%-50s %v", "in peace:", h.probe())
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, attack := range []struct {
		name string
		do   func()
	}{
		{"text instead of bytes", func() { m.say(websocket.TextMessage, []byte("hello"), []byte(strings.Repeat("x", 60_000))) }},
		{"messages of no use", func() { m.say(websocket.BinaryMessage, nil, []byte{0}, make([]byte, 14), make([]byte, 15)) }},
		{"calls with bytes changed at random", func() {
			for range 300 {
				call := m.call("victim-1", "Never")
				for range 1 + rnd.IntN(4) {
					call[15+rnd.IntN(len(call)-15)] ^= byte(1 << rnd.IntN(8))
				}
				m.say(websocket.BinaryMessage, call[:15+rnd.IntN(len(call)-14)])
			}
		}},
		{"every method and status there is, with nothing in it", func() {
			for code := range 256 {
				m.say(websocket.BinaryMessage, m.message(m.header(alwayson.KeepAlive), nil)[:15])
				raw := m.chunk(m.header(alwayson.Code(code)), 0, 0, 0, nil)[:15]
				raw[14] = 0
				if alwayson.Code(code) != alwayson.AuthCode {
					m.say(websocket.BinaryMessage, raw)
				}
			}
		}},
		{"wrong session ids", func() {
			for i := range 200 {
				head := m.header(alwayson.Post)
				head.SessionID ^= uint32(i + 1)
				m.say(websocket.BinaryMessage, m.message(head, alwayson.ServiceRequest(alwayson.EntityThing, "victim-1", "Never", nil)))
			}
		}},
		{"requests for Things that are not bound here", func() {
			for i := range 500 {
				m.say(websocket.BinaryMessage, m.call(fmt.Sprintf("foreign-%d", i), "Reset"))
			}
		}},
		{"calls without an end", func() { // over 1024 at once are refused, whomever they are for
			for range 500 {
				m.say(websocket.BinaryMessage, m.call("victim-1", "Never"))
			}
		}},
		{"chunk bombs that are never complete", func() {
			for range 5000 {
				m.say(websocket.BinaryMessage, m.chunk(m.header(alwayson.Post), 1, 65535, 65535, make([]byte, 1000)))
			}
		}},
		{"chunks that contradict each other", func() {
			for range 500 {
				head := m.header(alwayson.Post)
				m.say(websocket.BinaryMessage, m.chunk(head, 1, 3, 4, []byte("abcd")), m.chunk(head, 1, 3, 4, []byte("wxyz")),
					m.chunk(head, 9, 3, 4, []byte("abcd")), m.chunk(head, 2, 5, 8, []byte("abcdefgh")), m.chunk(head, 0, 0, 0, nil))
			}
		}},
		{"tables in tables in tables", func() { m.say(websocket.BinaryMessage, m.nested(10), m.nested(100), m.nested(5000)) }},
		{"a message of 4 MiB", func() { m.say(websocket.BinaryMessage, append(m.call("victim-1", "Never"), make([]byte, 4<<20)...)) }},
		{"answers nobody asked for", func() {
			for i := range uint32(2000) {
				head := alwayson.Header{Code: alwayson.Success, RequestID: i, SessionID: m.header(alwayson.Post).SessionID}
				if i > 500 {
					m.say(websocket.BinaryMessage, m.message(alwayson.Header{Code: alwayson.Success, RequestID: i + 1_000_000, SessionID: head.SessionID}, alwayson.OK(alwayson.NewString("x"))))
				}
			}
		}},
		{"pings without an end", func() {
			for range 2000 {
				m.mu.Lock()
				_ = m.conn.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Second))
				m.mu.Unlock()
			}
		}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			old := h.t
			h.t = t
			defer func() { h.t = old }()
			d := h.during(func(int) {
				attack.do()
				<-time.After(hostilePause)
			})
			h.probe()
			t.Logf("%v; answers %v", d, m.answered())
			if n := m.connected(); n != 1 {
				t.Errorf("the bridge has connected %d times: the connection did not survive", n)
			}
		})
	}
	t.Run("a frame that breaks the WebSocket rules costs the connection and nothing else", func(t *testing.T) {
		m.mu.Lock()
		_, err := m.conn.NetConn().Write([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
		m.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the bridge connects again", func() string {
			if n := m.connected(); n != 2 {
				return fmt.Sprintf("%d connections", n)
			}
			return ""
		})
		s.waitThing("honest-1", true)
		h.probe()
	})
	t.Logf("memory at most %d MiB, %d log lines", br.peak()>>10, strings.Count(br.p.output(), "\n"))
	if peak := br.peak(); peak > hostileMemory {
		t.Errorf("the bridge took %d KiB", peak)
	}
	if br.p.ended() {
		t.Fatalf("the bridge ended: %v", br.p.err)
	}
}
