package edge

import (
	"fmt"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// served is one request of the platform that waits for our answer.
type served struct {
	s        *session
	h        alwayson.Header
	timer    timer
	answered atomic.Bool
}

// accept enters a request among those being served and hands it over, or says
// that there are too many.
func (s *session) accept(h alwayson.Header, req *alwayson.Request) {
	if s.leaving.Load() {
		s.reply(h, alwayson.Fail(alwayson.ServiceUnavailable, "the bridge is stopping"))
		return
	}
	q := &served{s: s, h: h}
	s.mu.Lock()
	full := len(s.serving) >= s.opt.MaxServing
	if !full && !s.dead {
		s.serving[q] = struct{}{}
	}
	s.mu.Unlock()
	if full {
		s.reply(h, alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("the bridge is busy: %d requests are being served", s.opt.MaxServing)))
		return
	}
	s.clock.set(&q.timer, time.Now().Add(s.opt.AnswerLimit), q)
	s.serve(q, req)
}

// respond answers the request; only the first call counts. Any goroutine may call it.
func (q *served) respond(resp *alwayson.Response) {
	if q.answered.Swap(true) {
		return
	}
	q.s.clock.stop(&q.timer)
	q.s.mu.Lock()
	delete(q.s.serving, q)
	q.s.mu.Unlock()
	if resp == nil {
		resp = alwayson.Fail(alwayson.InternalServerError, "the bridge has no answer")
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
		s.log.Error("answer lost", "request", h.RequestID, "err", err)
		return
	}
	s.out.answer(chunks, true)
	s.m.request(h.Code)
}
