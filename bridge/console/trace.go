package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"thingbridge/bridge"
)

const (
	traceWrite = 10 * time.Second // for one write, then the reader is gone
	traceIdle  = 15 * time.Second // between signs of life
	traceBatch = 64 << 10         // bytes that are written at once
	traceText  = 1000             // bytes of a filter
)

// trace streams what passes as server-sent events: "line" is a bridge.TraceLine,
// "dropped" tells how many lines were not shown. It ends with the request, with
// the console, or with a reader that takes nothing.
func (c *Console) trace(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := bridge.TraceFilter{Topic: q.Get("topic"), Thing: q.Get("thing")}
	if len(f.Topic) > traceText || len(f.Thing) > traceText {
		fail(w, http.StatusBadRequest, fmt.Sprintf("topic and thing have at most %d bytes", traceText))
		return
	}
	select {
	case c.traces <- struct{}{}:
		defer func() { <-c.traces }()
	default:
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d traces are open already; close one", cap(c.traces)))
		return
	}
	s := stream{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetReadDeadline(time.Time{}) // the server's is for a request's begin
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	t := c.opt.Source.Trace(f)
	defer t.Close()
	idle := time.NewTicker(traceIdle)
	defer idle.Stop()
	var told uint64
	s.buf.WriteString(": begins\n\n")
	for s.flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-c.closing:
			return
		case <-idle.C:
			s.buf.WriteString(": alive\n\n")
		case l := <-t.Lines:
			s.lines(l, t.Lines)
		}
		if n := t.Dropped(); n != told {
			told = n
			s.event("dropped", map[string]uint64{"dropped": n})
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// lines puts a line and those that wait behind it into the buffer.
func (s *stream) lines(l bridge.TraceLine, more <-chan bridge.TraceLine) {
	for {
		s.event("line", l)
		if s.buf.Len() >= traceBatch {
			return
		}
		select {
		case l = <-more:
		default:
			return
		}
	}
}

func (s *stream) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	fmt.Fprintf(&s.buf, "event: %s\ndata: %s\n\n", name, b)
}

func (s *stream) flush() error {
	_ = s.control.SetWriteDeadline(time.Now().Add(traceWrite))
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return err
	}
	s.buf.Reset()
	return s.control.Flush()
}
