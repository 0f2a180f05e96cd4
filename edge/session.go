package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// closeWait is how long an end waits for CLOSE to be written, or answered.
const closeWait = 2 * time.Second

// session is one connection's life. It dies of its first error, whose cause
// sticks, and is never used again.
type session struct {
	opt    *Options
	newest *atomic.Pointer[Options] // the client's; nil: opt
	m      *metrics
	log    *slog.Logger
	number uint64
	ids    *idSource
	// serve takes over a decoded request; it runs on the reader's goroutine and
	// must not block.
	serve func(*served, *alwayson.Request)

	ws        *websocket.Conn
	wire      *coalescer
	out       *outgoing
	clock     *clock
	done      chan struct{} // closed by die
	closeSent chan struct{} // closed by the writer after CLOSE
	wg        sync.WaitGroup

	sessionID, endpointID atomic.Uint32
	leaving               atomic.Bool  // no new requests are served
	closing               atomic.Bool  // our CLOSE is on its way
	overSubscribed        atomic.Bool  // it was told that a Thing has too many subscriptions
	pingAt, rtt           atomic.Int64 // nanoseconds
	heard                 atomic.Uint64
	sent                  atomic.Uint64
	ping, pong, sweep     timer

	// carried is what wireMetrics has told already.
	carried struct{ in, out, writes uint64 }

	parts struct {
		sync.Mutex // guards the following
		all        *alwayson.Reassembler
	}

	mu      sync.Mutex // guards the following
	dead    bool
	cause   error
	calls   map[uint32]*call
	serving map[*served]struct{}
	busy    map[string]int // how many of serving are for a Thing
	cells   int            // of the large tables of serving
	bytes   int            // of the large messages of serving
}

// idSource counts request ids over all sessions of a client.
type idSource struct{ last atomic.Uint32 }

// next never gives 0 or the reserved id.
func (i *idSource) next() uint32 {
	for {
		if id := i.last.Add(1); id != 0 && id != alwayson.NoRequest {
			return id
		}
	}
}

func newSession(opt *Options, m *metrics, number uint64, ids *idSource, serve func(*served, *alwayson.Request)) *session {
	s := &session{
		opt: opt, m: m, log: opt.Logger.With("session", number), number: number, ids: ids, serve: serve,
		out:       newOutgoing(opt.QueueBytes),
		clock:     newClock(),
		done:      make(chan struct{}),
		closeSent: make(chan struct{}),
		calls:     map[uint32]*call{},
		serving:   map[*served]struct{}{},
		busy:      map[string]int{},
	}
	s.sessionID.Store(alwayson.NoSession)
	s.parts.all = alwayson.NewReassembler(alwayson.ReassemblerOptions{
		MaxMessage: opt.MaxMessage,
		MaxPending: 8 * opt.MaxMessage,
		MaxSets:    opt.MaxServing,
		Timeout:    reassembleFor,
	})
	return s
}

// tuned gives the options from which times are taken that may change during a
// session: PingInterval, PongTimeout, RequestTimeout.
func (s *session) tuned() *Options {
	if s.newest == nil {
		return s.opt
	}
	return s.newest.Load()
}

// open starts the session's three goroutines on a fresh WebSocket.
func (s *session) open(ws *websocket.Conn, wire *coalescer) {
	s.ws, s.wire = ws, wire
	wire.gather()
	ws.SetPingHandler(func(payload string) error { s.out.sendPong(payload); return nil })
	ws.SetPongHandler(func(string) error { s.ponged(); return nil })
	ws.SetCloseHandler(func(code int, _ string) error { s.out.sendClose(closeReply(code), true); return nil })
	for _, run := range []func() error{s.read, s.write, s.tick} {
		s.wg.Go(func() {
			if err := run(); err != nil {
				s.die(err)
			}
		})
	}
}

// closeReply is the code to answer a CLOSE with.
func closeReply(code int) int {
	if code == websocket.CloseNoStatusReceived {
		return websocket.CloseNormalClosure
	}
	return code
}

// die ends the session. The first cause sticks.
func (s *session) die(cause error) {
	s.mu.Lock()
	if s.dead {
		s.mu.Unlock()
		return
	}
	s.dead, s.cause = true, cause
	s.mu.Unlock()
	s.out.end()
	close(s.done)
	if s.wire != nil {
		s.wire.Close()
	}
}

// why is the cause of a dead session.
func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// end waits for the goroutines of a dead session and fails what waits for it.
// gone is called between the two.
func (s *session) end(gone func(cause error)) error {
	<-s.done
	s.wg.Wait()
	gone(s.why())
	s.mu.Lock()
	cause, calls := s.cause, s.calls
	s.calls = nil
	for q := range s.serving {
		q.answered.Store(true)
	}
	s.serving = nil
	s.mu.Unlock()
	s.wireMetrics()
	lost := fmt.Errorf("%w: %w", alwayson.ErrConnectionLost, cause)
	for _, c := range calls {
		s.m.call(outcomeLost)
		c.done(alwayson.Header{}, nil, lost)
	}
	return cause
}

// wireMetrics carries what the connection counted over to the metrics. The
// clock's goroutine calls it, and end after that.
func (s *session) wireMetrics() {
	if s.wire == nil {
		return
	}
	in, out, writes := s.wire.in.Load(), s.wire.out.Load(), s.wire.writes.Load()
	s.m.bytesIn.Add(float64(in - s.carried.in))
	s.m.bytesOut.Add(float64(out - s.carried.out))
	s.m.writes.Add(float64(writes - s.carried.writes))
	s.carried.in, s.carried.out, s.carried.writes = in, out, writes
}

// authenticate sends AUTH and waits for its answer.
func (s *session) authenticate(ctx context.Context, key string) error {
	type answer struct {
		h    alwayson.Header
		resp *alwayson.Response
		err  error
	}
	got := make(chan answer, 1)
	auth := &alwayson.Auth{Claims: []alwayson.Claim{{Name: "appKey", Value: key}}}
	err := s.start(alwayson.AuthCode, auth, s.opt.AuthTimeout, false, func(h alwayson.Header, r *alwayson.Response, err error) {
		if err == nil && h.Code.IsSuccess() {
			s.sessionID.Store(h.SessionID)
		}
		got <- answer{h, r, err}
	})
	if err != nil {
		return err
	}
	select {
	case a := <-got:
		if a.err != nil {
			return fmt.Errorf("authenticate: %w", a.err)
		}
		if !a.h.Code.IsSuccess() {
			return &AuthError{Code: a.h.Code, Reason: cut(a.resp.Reason, mostOfReason)}
		}
		return nil
	case <-s.done:
		return fmt.Errorf("authenticate: %w", s.why())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read is the reader goroutine. It waits for nothing but the network, and for
// the writer when answers pile up.
func (s *session) read() error {
	buf := make([]byte, 0, 4096)
	for {
		kind, r, err := s.ws.NextReader()
		if err != nil {
			return s.readError(err)
		}
		s.heard.Add(1)
		if kind != websocket.BinaryMessage {
			s.m.undecodable(badText)
			continue
		}
		buf, err = readAtMost(buf[:0], r, s.opt.MaxMessage+1)
		if err != nil {
			return s.readError(err)
		}
		s.m.messagesIn.Inc()
		s.dispatch(buf)
		if cap(buf) > 64<<10 {
			buf = make([]byte, 0, 4096)
		}
		for s.out.crowded() {
			select {
			case <-s.out.room:
			case <-s.done:
				return nil
			}
		}
	}
}

// readError waits, after the peer's CLOSE, until ours is written, and makes the cause.
func (s *session) readError(err error) error {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) {
		return fmt.Errorf("read: %w", err)
	}
	if closed.Code != websocket.CloseAbnormalClosure {
		wait := time.NewTimer(closeWait)
		defer wait.Stop()
		select {
		case <-s.closeSent:
		case <-s.done:
		case <-wait.C:
		}
	}
	if s.closing.Load() {
		return errLeft
	}
	return fmt.Errorf("closed by the platform: %w", err)
}

// readAtMost appends up to limit bytes of r to buf. The library bounds what it
// reads by the compressed size only, so the bound is here.
func readAtMost(buf []byte, r io.Reader, limit int) ([]byte, error) {
	for len(buf) < limit {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}
