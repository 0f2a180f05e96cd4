package edge

import (
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// doneFunc ends a call: with the answer's header and body, or with an error. It
// runs on one of the session's goroutines and must neither block nor run
// foreign code.
type doneFunc func(h alwayson.Header, resp *alwayson.Response, err error)

// call is a request in flight to the platform.
type call struct {
	s       *session
	id      uint32
	timeout time.Duration
	timer   timer
	done    doneFunc
}

// start sends one request and has done called exactly once, except when it
// returns an error itself. Only bounded calls count against MaxCalls.
func (s *session) start(method alwayson.Code, body alwayson.Body, timeout time.Duration, bounded bool, done doneFunc) error {
	c := &call{s: s, id: s.ids.next(), timeout: timeout, done: done}
	h := alwayson.Header{Code: method, RequestID: c.id, EndpointID: s.endpointID.Load()}
	chunks, err := s.encode(h, body)
	if err != nil {
		return err
	}
	if err := s.register(c, bounded); err != nil {
		return err
	}
	s.clock.set(&c.timer, time.Now().Add(timeout), c)
	if !s.out.request(chunks, bounded) && s.take(c.id) != nil {
		s.clock.stop(&c.timer)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.dead {
			return alwayson.ErrNotConnected
		}
		return fmt.Errorf("%w: %d bytes wait to be written", alwayson.ErrBusy, s.out.bytes())
	}
	return nil
}

// register enters c among the calls that wait for an answer.
func (s *session) register(c *call, bounded bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dead:
		return alwayson.ErrNotConnected
	case bounded && len(s.calls) >= s.opt.MaxCalls:
		return fmt.Errorf("%w: %d", alwayson.ErrBusy, len(s.calls))
	}
	if s.calls[c.id] != nil {
		return fmt.Errorf("%w: request id %d is in use", alwayson.ErrBusy, c.id)
	}
	s.calls[c.id] = c
	return nil
}

// take removes a call; whoever gets it ends it.
func (s *session) take(id uint32) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	delete(s.calls, id)
	return c
}

// expire ends a call whose time has run out.
func (c *call) expire(time.Time) {
	if c.s.take(c.id) == nil {
		return
	}
	c.s.m.call(outcomeNoAnswer)
	c.done(alwayson.Header{}, nil, fmt.Errorf("%w (%s)", alwayson.ErrNoAnswer, c.timeout))
}

// finish ends the call that waits for h, if one does: an answer that comes late
// or that nobody asked for changes nothing.
func (s *session) finish(h alwayson.Header, resp *alwayson.Response, err error) {
	c := s.take(h.RequestID)
	if c == nil {
		s.m.call(outcomeForeign)
		return
	}
	s.clock.stop(&c.timer)
	switch {
	case err != nil:
		s.m.call(outcomeSpoilt)
	case h.Code.IsSuccess():
		s.m.call(outcomeSuccess)
	default:
		s.m.call(outcomeRefused)
	}
	c.done(h, resp, err)
}

// encode makes the WebSocket messages of one message.
func (s *session) encode(h alwayson.Header, body alwayson.Body) ([][]byte, error) {
	h.SessionID = alwayson.NoSession // the writer puts in the present one
	whole, err := alwayson.Append(nil, &alwayson.Message{Header: h, Body: body})
	if err != nil {
		return nil, err
	}
	if len(whole) > s.opt.MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, %d allowed", alwayson.ErrTooLarge, len(whole), s.opt.MaxMessage)
	}
	chunks, err := alwayson.Chunks(nil, whole, s.opt.Chunk)
	if err != nil {
		return nil, err
	}
	if n, most := len(chunks), s.opt.MaxMessage/s.opt.Chunk; n > 1 && n > most {
		return nil, fmt.Errorf("%w: %d bytes make %d chunks, %d allowed", alwayson.ErrTooLarge, len(whole), n, most)
	}
	return chunks, nil
}

// maxBody is the largest request body that encode takes, for the longest name
// that an entity on the platform can have (255 characters, all of four bytes).
func maxBody(opt *Options) int {
	name := strings.Repeat("x", min(4*255, opt.Chunk/2))
	return alwayson.MaxBody(name, opt.Chunk, opt.MaxMessage)
}
