package simulator

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
)

// calls are the platform's own requests on one connection that wait for an answer.
type calls struct {
	mu   sync.Mutex // guards the following
	next uint32
	open map[uint32]*call
	gone bool // the connection ended
}

// call is one of them. done runs once: on the connection's reader, on the
// timer's goroutine, or on the one that ends the connection.
type call struct {
	timer *time.Timer
	done  func(*alwayson.Response)
}

func (cs *calls) init() { cs.next, cs.open = firstRequestID, map[uint32]*call{} }

// request sends req to the edge. done gets the edge's answer, or the error that
// the platform's user sees: GATEWAY_TIMEOUT, SERVICE_UNAVAILABLE, BAD_REQUEST.
func (c *conn) request(method alwayson.Code, req *alwayson.Request, done func(*alwayson.Response)) {
	cs := &c.calls
	cs.mu.Lock()
	if cs.gone {
		cs.mu.Unlock()
		done(fail(alwayson.ServiceUnavailable, "%q is not connected", req.Entity))
		return
	}
	id := cs.next
	cs.next++
	if cs.next < firstRequestID || cs.next == alwayson.NoRequest {
		cs.next = firstRequestID
	}
	limit := c.p.opts.AnswerLimit
	cl := &call{done: done}
	cs.open[id] = cl
	cl.timer = time.AfterFunc(limit, func() {
		if c.calls.take(id) != nil {
			c.p.stats.callsTimedOut.Add(1)
			done(fail(alwayson.GatewayTimeout, "no answer from the edge for %q within %v", req.Entity, limit))
		}
	})
	cs.mu.Unlock()
	c.p.stats.calls.Add(1)
	err := c.send(&alwayson.Message{
		Header: alwayson.Header{Code: method, RequestID: id, SessionID: c.session.Load()},
		Body:   req,
	})
	if err == nil {
		return
	}
	if cl := cs.take(id); cl != nil {
		code := alwayson.BadRequest
		if errors.Is(err, alwayson.ErrTooLarge) {
			code = alwayson.EntityTooLarge
		}
		done(fail(code, "request for %q cannot be sent: %v", req.Entity, err))
	}
}

// take removes a call, if it still waits.
func (cs *calls) take(id uint32) *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cl := cs.open[id]
	if cl != nil {
		delete(cs.open, id)
		cl.timer.Stop()
	}
	return cl
}

// finish hands a response to the call that waits for it.
func (c *conn) finish(id uint32, resp *alwayson.Response) {
	if cl := c.calls.take(id); cl != nil {
		cl.done(resp)
		return
	}
	c.p.stats.lateAnswers.Add(1)
}

// abandon ends the waiting calls of a connection that is gone.
func (cs *calls) abandon() {
	cs.mu.Lock()
	cs.gone = true
	open := cs.open
	cs.open = nil
	for _, cl := range open {
		cl.timer.Stop()
	}
	cs.mu.Unlock()
	for _, cl := range open {
		cl.done(fail(alwayson.ServiceUnavailable, "the edge disconnected before it answered"))
	}
}

// revive lets requests be sent again, after a connection authenticated anew.
func (cs *calls) revive() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.gone, cs.open = false, map[uint32]*call{}
}

func (cs *calls) waiting() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

// ok is a success with content.
func ok(content alwayson.Value) *alwayson.Response {
	return &alwayson.Response{Code: alwayson.Success, Content: content}
}

// result is the success of a service: one field named result, or the table itself.
func result(v alwayson.Value) *alwayson.Response {
	return ok(alwayson.NewTable(alwayson.NewResult(v)))
}

// fail is an error response with a reason.
func fail(code alwayson.Code, format string, args ...any) *alwayson.Response {
	return &alwayson.Response{Code: code, HasReason: true, Reason: fmt.Sprintf(format, args...)}
}
