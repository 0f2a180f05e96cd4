package edge

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// served is one request of the platform that waits for our answer.
type served struct {
	s        *session
	h        alwayson.Header
	thing    string // that it is for, as busy has it
	cells    int    // of its tables, if they are many
	bytes    int    // of its message, if they are many
	timer    timer
	answered atomic.Bool
}

// What a request may always have.
const (
	fewCells = 500
	fewBytes = 32 << 10
)

// accept enters a request among those being served and hands it over, or says
// that there are too many.
func (s *session) accept(h alwayson.Header, req *alwayson.Request, bytes int) {
	if s.leaving.Load() {
		s.reply(h, alwayson.Fail(alwayson.ServiceUnavailable, "the bridge is stopping"))
		return
	}
	q := &served{s: s, h: h, thing: strings.ToLower(req.Entity)}
	if n := req.Params.Cells(); n > fewCells {
		q.cells = n
	}
	if bytes > fewBytes {
		q.bytes = bytes
	}
	if refusal := s.enter(q); refusal != "" {
		s.reply(h, alwayson.Fail(alwayson.ServiceUnavailable, refusal))
		return
	}
	s.clock.set(&q.timer, time.Now().Add(s.opt.AnswerLimit), q)
	s.serve(q, req)
}

// enter notes that q is being served, or says why it cannot be.
func (s *session) enter(q *served) (refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.serving) >= s.opt.MaxServing:
		return fmt.Sprintf("the bridge is busy: %d requests are being served", s.opt.MaxServing)
	case s.busy[q.thing] >= s.opt.MaxServingThing:
		return fmt.Sprintf("the bridge is busy: %d requests for this Thing are being served", s.opt.MaxServingThing)
	case q.cells > 0 && s.cells > 0 && s.cells+q.cells > s.opt.MaxServingCells:
		return fmt.Sprintf("the bridge is busy: the tables of the requests being served have %d cells", s.cells)
	case q.bytes > 0 && s.bytes > 0 && s.bytes+q.bytes > s.opt.MaxServingBytes:
		return fmt.Sprintf("the bridge is busy: the requests being served have %d bytes", s.bytes)
	case !s.dead:
		s.cells += q.cells
		s.bytes += q.bytes
		s.serving[q] = struct{}{}
		s.busy[q.thing]++
	}
	return ""
}

// exit is the end of enter.
func (s *session) exit(q *served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.serving[q]; !ok {
		return
	}
	delete(s.serving, q)
	s.cells -= q.cells
	s.bytes -= q.bytes
	if s.busy[q.thing]--; s.busy[q.thing] == 0 {
		delete(s.busy, q.thing)
	}
}

// respond answers the request; only the first call counts. Any goroutine may call it.
func (q *served) respond(resp *alwayson.Response) {
	if q.answered.Swap(true) {
		return
	}
	q.s.clock.stop(&q.timer)
	q.s.exit(q)
	if resp == nil {
		resp = alwayson.Fail(alwayson.InternalServerError, "the bridge has no answer")
	}
	if !resp.Code.IsSuccess() && resp.Reason == "" { // the platform's user reads it
		told := *resp
		told.Reason, told.HasReason = resp.Code.String(), true
		resp = &told
	}
	q.s.reply(q.h, resp)
}

// expire answers a request that nobody answered in time.
func (q *served) expire(time.Time) {
	q.respond(alwayson.Fail(alwayson.GatewayTimeout, fmt.Sprintf("no answer within %s", q.s.opt.AnswerLimit)))
}

// abandon answers all requests that still wait.
func (s *session) abandon(reason string) {
	s.mu.Lock()
	all := make([]*served, 0, len(s.serving))
	for q := range s.serving {
		all = append(all, q)
	}
	s.mu.Unlock()
	for _, q := range all {
		q.respond(alwayson.Fail(alwayson.ServiceUnavailable, reason))
	}
}

// reply sends the one answer to the request with header h. An answer that
// cannot be sent is replaced by one that says why.
func (s *session) reply(h alwayson.Header, resp *alwayson.Response) {
	code := resp.Code
	if code == 0 {
		code = alwayson.Success
		if resp.HasReason || resp.Reason != "" {
			code = alwayson.InternalServerError
		}
	}
	h.Code = code
	chunks, err := s.encode(h, resp)
	if err != nil {
		h.Code = alwayson.InternalServerError
		s.replyShort(h, fmt.Sprintf("the answer cannot be sent: %v", err))
		return
	}
	short := len(chunks) == 1 && len(chunks[0]) <= shortAnswer
	if !s.out.answer(chunks, short) {
		h.Code = alwayson.ServiceUnavailable
		s.replyShort(h, "the bridge has too many answers to send")
		return
	}
	s.m.request(h.Code)
}

// shortAnswer is the size of an answer that finds room always.
const shortAnswer = 1024

func (s *session) replyShort(h alwayson.Header, reason string) {
	const most = 512
	if len(reason) > most {
		reason = reason[:most]
	}
	chunks, err := s.encode(h, alwayson.Fail(h.Code, reason))
	if err != nil {
		s.log.Error("answer lost", "request", h.RequestID, "error", err)
		return
	}
	s.out.answer(chunks, true)
	s.m.request(h.Code)
}
