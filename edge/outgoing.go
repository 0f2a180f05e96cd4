package edge

import (
	"sync"

	"github.com/gorilla/websocket"
)

// outgoing is what waits to be written on one session. Answers go before
// requests, control frames before both, one WebSocket message at a time, so
// that a large message does not hold up a small answer. Requests find a bounded
// room; answers always find room, and a reader that makes too many waits.
type outgoing struct {
	limit int
	wake  chan struct{} // something to write
	room  chan struct{} // answers fell below limit again

	mu       sync.Mutex // guards the following
	answers  fifo
	requests fifo
	pong     []byte // payload of the pong that is due
	pongDue  bool
	pingDue  bool
	close    []byte // payload of the CLOSE that ends the connection
	closeNow bool   // CLOSE does not wait for the rest
	closed   bool   // nothing more is taken
}

// outItem is the next thing to write. kind is a WebSocket message type, 0 for nothing.
type outItem struct {
	kind int
	data []byte
}

func newOutgoing(limit int) *outgoing {
	return &outgoing{limit: limit, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// request queues a request's chunks, and reports false when there is no room or
// the session has ended. An empty queue has room for any one message; the few
// requests of the client's own are not bounded.
func (o *outgoing) request(chunks [][]byte, bounded bool) bool {
	o.mu.Lock()
	n := total(chunks)
	ok := !o.closed && (!bounded || o.requests.bytes == 0 || o.requests.bytes+n <= o.limit)
	if ok {
		o.requests.push(chunks, n)
	}
	o.mu.Unlock()
	if ok {
		o.signal()
	}
	return ok
}

// answer queues an answer's chunks. It reports false, and queues nothing, when
// they are large and the answers that wait take several times the usual room
// already; a short answer finds room always.
func (o *outgoing) answer(chunks [][]byte, short bool) bool {
	o.mu.Lock()
	n := total(chunks)
	ok := short || o.answers.bytes+n <= 4*o.limit
	if ok && !o.closed {
		o.answers.push(chunks, n)
	}
	o.mu.Unlock()
	if ok {
		o.signal()
	}
	return ok
}

// crowded reports whether the answers that wait are over their room.
func (o *outgoing) crowded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.answers.bytes > o.limit && !o.closed
}

// sendPong makes a pong due; of several that wait the last is sent.
func (o *outgoing) sendPong(payload string) {
	o.mu.Lock()
	o.pong, o.pongDue = append(o.pong[:0], payload...), true
	o.mu.Unlock()
	o.signal()
}

func (o *outgoing) sendPing() {
	o.mu.Lock()
	o.pingDue = true
	o.mu.Unlock()
	o.signal()
}

// sendClose makes CLOSE the last thing to be written, after all that waits or at once.
func (o *outgoing) sendClose(code int, now bool) {
	o.mu.Lock()
	o.close = websocket.FormatCloseMessage(code, "")
	o.closeNow = now
	o.mu.Unlock()
	o.signal()
}

// end drops what waits; nothing more is taken.
func (o *outgoing) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.answers, o.requests = fifo{}, fifo{}
}

func (o *outgoing) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// next takes the next thing to write.
func (o *outgoing) next() outItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return outItem{}
	case o.closeNow:
		return outItem{websocket.CloseMessage, o.close}
	case o.pongDue:
		o.pongDue = false
		return outItem{websocket.PongMessage, append([]byte(nil), o.pong...)}
	case o.pingDue:
		o.pingDue = false
		return outItem{websocket.PingMessage, []byte("thingbridge")}
	case o.answers.len() > 0:
		data := o.answers.pop()
		if o.answers.bytes <= o.limit && o.answers.bytes+len(data) > o.limit {
			select {
			case o.room <- struct{}{}:
			default:
			}
		}
		return outItem{websocket.BinaryMessage, data}
	case o.requests.len() > 0:
		return outItem{websocket.BinaryMessage, o.requests.pop()}
	case o.close != nil:
		return outItem{websocket.CloseMessage, o.close}
	}
	return outItem{}
}

// bytes is how much waits.
func (o *outgoing) bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.answers.bytes + o.requests.bytes
}

// fifo is a queue of WebSocket messages.
type fifo struct {
	items [][]byte
	head  int
	bytes int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(chunks [][]byte, n int) {
	if f.head > 64 && f.head > len(f.items)/2 {
		kept := copy(f.items, f.items[f.head:])
		clear(f.items[kept:])
		f.items, f.head = f.items[:kept], 0
	}
	f.items = append(f.items, chunks...)
	f.bytes += n
}

func (f *fifo) pop() []byte {
	data := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	f.bytes -= len(data)
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return data
}

func total(chunks [][]byte) int {
	n := 0
	for _, c := range chunks {
		n += len(c)
	}
	return n
}
