package simulator

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// outbox is what waits to be written on one connection: whole WebSocket frames
// back to back, so that everything that gathered goes out in one write. Server
// frames are not masked, which makes them a short header and the payload.
// With compression every message is kept apart and written by the library.
type outbox struct {
	wake     chan struct{} // holds one token when there is something to write
	maxFrame int           // largest payload of a frame; never changes
	compress bool          // never changes

	mu       sync.Mutex // guards the following
	frames   []byte
	messages [][]byte // with compression
	waiting  int      // bytes in both
	shut     bool     // a CLOSE is in the frames: nothing may follow
}

func newOutbox(maxFrame int, compress bool) *outbox {
	return &outbox{wake: make(chan struct{}, 1), maxFrame: maxFrame, compress: compress}
}

// add queues binary messages, together. It reports false when the outbox holds too much.
func (o *outbox) add(messages ...[]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return true
	}
	for _, m := range messages {
		if o.compress {
			o.messages = append(o.messages, append([]byte(nil), m...))
		} else {
			o.frames = appendFrames(o.frames, websocket.BinaryMessage, m, o.maxFrame)
		}
		o.waiting += len(m)
	}
	o.signal()
	return o.waiting <= outLimit
}

// control queues a ping, pong or CLOSE. Nothing follows a CLOSE.
func (o *outbox) control(opcode int, payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return
	}
	o.frames = appendFrames(o.frames, opcode, payload, len(payload))
	o.shut = opcode == websocket.CloseMessage
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take empties the outbox; spare becomes its new buffer.
func (o *outbox) take(spare []byte) (frames []byte, messages [][]byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames, messages = o.frames, o.messages
	o.frames, o.messages, o.waiting = spare[:0], nil, 0
	return frames, messages, o.shut
}

// flush writes what waits. last says that a CLOSE was in it.
func (o *outbox) flush(ws *websocket.Conn, spare []byte) (buf []byte, last bool, err error) {
	frames, messages, last := o.take(spare)
	deadline := time.Now().Add(writeWait)
	if len(messages) > 0 {
		if err = ws.SetWriteDeadline(deadline); err != nil {
			return frames, last, err
		}
		for _, m := range messages {
			if err = ws.WriteMessage(websocket.BinaryMessage, m); err != nil {
				return frames, last, err
			}
		}
	}
	if len(frames) > 0 {
		if err = ws.NetConn().SetWriteDeadline(deadline); err != nil {
			return frames, last, err
		}
		_, err = ws.NetConn().Write(frames)
	}
	return frames, last, err
}

// appendFrames appends one WebSocket message as unmasked frames of at most
// maxFrame bytes of payload. The last one is empty only if the message is.
func appendFrames(dst []byte, opcode int, payload []byte, maxFrame int) []byte {
	for {
		part := payload
		if maxFrame > 0 && len(part) > maxFrame {
			part = part[:maxFrame]
		}
		payload = payload[len(part):]
		first := byte(opcode)
		if len(payload) == 0 {
			first |= 0x80
		}
		switch n := len(part); {
		case n < 126:
			dst = append(dst, first, byte(n))
		case n < 1<<16:
			dst = binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
		default:
			dst = binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
		}
		dst = append(dst, part...)
		if len(payload) == 0 {
			return dst
		}
		opcode = 0 // continuation
	}
}
