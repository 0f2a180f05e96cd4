package edge

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// sessionAt is where a message's header holds the session id.
const sessionAt = 10

// write is the writer goroutine: the only one that writes messages. It gathers
// what waits and flushes when nothing more does.
func (s *session) write() error {
	for {
		item := s.out.next()
		if item.kind != 0 {
			if err := s.writeItem(item); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if item.kind == websocket.CloseMessage {
				err := s.wire.flush()
				close(s.closeSent)
				return err
			}
			continue
		}
		if err := s.wire.flush(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		select {
		case <-s.out.wake:
		case <-s.done:
			return nil
		}
	}
}

func (s *session) writeItem(item outItem) error {
	if item.kind != websocket.BinaryMessage {
		if item.kind == websocket.PingMessage {
			s.pingAt.Store(time.Now().UnixNano())
		}
		return s.ws.WriteControl(item.kind, item.data, time.Now().Add(s.opt.WriteTimeout))
	}
	binary.BigEndian.PutUint32(item.data[sessionAt:], s.sessionID.Load())
	s.sent.Add(1)
	s.m.messagesOut.Inc()
	return s.ws.WriteMessage(websocket.BinaryMessage, item.data)
}
