package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// serve answers one request of a caller who is let in.
func (r *REST) serve(w http.ResponseWriter, q *http.Request) {
	target, bad := restjson.ParsePath(q.URL.EscapedPath())
	if bad != nil {
		r.refuse(w, q, outcomeInvalid, bad.Status, bad.Text)
		return
	}
	if q.Method == http.MethodOptions {
		w.Header().Set("Allow", target.Allow())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	method, bad := target.Method(q.Method)
	if bad != nil {
		w.Header().Set("Allow", target.Allow())
		r.refuse(w, q, outcomeInvalid, bad.Status, bad.Text)
		return
	}
	if !accepts(q.Header.Values("Accept")) {
		r.refuse(w, q, outcomeInvalid, http.StatusNotAcceptable, "only application/json is served; leave Accept out or let it say so")
		return
	}
	slot := r.enter()
	if slot == nil {
		r.full(w, q, fmt.Sprintf("%d requests are under way already", r.opt.InFlight))
		return
	}
	defer slot.leave()
	params, ok := r.params(w, q, slot, method, target)
	if ok {
		r.answer(w, q, slot, method, target.Request(params))
	}
}

// answer has the request served, here or by the platform.
func (r *REST) answer(w http.ResponseWriter, q *http.Request, slot *slot, method alwayson.Code, req *alwayson.Request) {
	ctx, cancel := context.WithTimeout(q.Context(), r.opt.Timeout)
	defer cancel()
	if r.opt.Local != nil && req.EntityType == alwayson.EntityThing {
		if resp, mine := r.opt.Local.Serve(ctx, method, req); mine {
			if !r.roomForAnswer(slot, resp) {
				r.failed(w, q, errAnswers)
				return
			}
			setOutcome(w, outcomeLocal)
			restjson.Answer(w, resp)
			return
		}
	}
	if !r.opt.Allow.Request(method, req) {
		r.refuse(w, q, outcomeDenied, http.StatusForbidden, denied(method, req))
		return
	}
	resp, err := r.forward(ctx, slot, method, req)
	if err != nil {
		r.failed(w, q, err)
		return
	}
	setOutcome(w, outcomeOK)
	if !resp.Code.IsSuccess() {
		setOutcome(w, outcomeRefused)
	}
	restjson.Answer(w, resp)
}

func denied(method alwayson.Code, req *alwayson.Request) string {
	what := fmt.Sprintf("%s/%s/%s", req.EntityType.Collection(), req.Entity, characteristic(req.Characteristic))
	if req.Name != "" {
		what += "/" + req.Name
	}
	return fmt.Sprintf("%s %s is not among rest.allow", method, what)
}

func characteristic(c alwayson.Characteristic) string {
	name := c.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// errGone says that the caller left before the answer came.
var errGone = errors.New("the caller has left")

// errAnswers says that the answer finds no room: callers may read as slowly as they like.
var errAnswers = errors.New("too many cells of answers' tables are being written already")

// forward sends the request to the platform and waits for what comes of it, but
// no longer than the caller does. The slot stays taken until the platform's side is done.
func (r *REST) forward(ctx context.Context, slot *slot, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, error) {
	type end struct {
		resp *alwayson.Response
		err  error
	}
	ended := make(chan end, 1)
	slot.keep()
	r.opt.Platform.Start(method, req, r.opt.Timeout, func(resp *alwayson.Response, err error) {
		if err == nil && !r.roomForAnswer(slot, resp) {
			resp, err = nil, errAnswers
		}
		slot.leave()
		ended <- end{resp, err}
	})
	select {
	case e := <-ended:
		return e.resp, e.err
	case <-ctx.Done():
	}
	select {
	case e := <-ended:
		return e.resp, e.err
	default:
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w (%s)", alwayson.ErrNoAnswer, r.opt.Timeout)
	}
	return nil, errGone
}

// failed answers a request that the platform did not answer.
func (r *REST) failed(w http.ResponseWriter, q *http.Request, err error) {
	var encode *alwayson.EncodeError
	switch {
	case errors.Is(err, errGone):
		setOutcome(w, outcomeGone)
	case errors.Is(err, alwayson.ErrNotConnected):
		w.Header().Set("Retry-After", "5")
		r.refuse(w, q, outcomeUnavailable, http.StatusServiceUnavailable, "there is no connection to the platform; nothing was sent")
	case errors.Is(err, alwayson.ErrBusy):
		r.full(w, q, err.Error())
	case errors.Is(err, errAnswers):
		r.full(w, q, err.Error()+"; the platform may have acted")
	case errors.Is(err, alwayson.ErrTooLarge):
		r.refuse(w, q, outcomeInvalid, http.StatusRequestEntityTooLarge, err.Error())
	case errors.As(err, &encode):
		r.refuse(w, q, outcomeInvalid, http.StatusBadRequest, err.Error())
	case errors.Is(err, alwayson.ErrNoAnswer):
		r.refuse(w, q, outcomeTimeout, http.StatusGatewayTimeout, err.Error()+"; it may have acted")
	default:
		r.refuse(w, q, outcomeLost, http.StatusBadGateway, err.Error()+"; it may have acted")
	}
}

// params reads the parameters from the body of a PUT or POST; false: the answer is written.
func (r *REST) params(w http.ResponseWriter, q *http.Request, slot *slot, method alwayson.Code, target restjson.Target) (*alwayson.InfoTable, bool) {
	if method == alwayson.Get {
		return nil, true
	}
	room := int64(r.opt.MaxMessage)
	if n := q.ContentLength; n >= 0 {
		room = min(n, room)
	}
	slot.bytes = room
	if r.load.bodies.Add(room) > r.opt.BodyBytes {
		r.full(w, q, "too many bytes of bodies are under way already")
		return nil, false
	}
	object, bad := restjson.ReadBody(w, q, r.opt.MaxMessage)
	if bad == nil && target.Characteristic == alwayson.Properties {
		return restjson.Content(object), true
	}
	if bad == nil {
		// A short body can hold a large table, so that few are read at once.
		select {
		case r.load.reading <- struct{}{}:
		case <-q.Context().Done():
			setOutcome(w, outcomeGone)
			return nil, false
		}
		defer func() { <-r.load.reading }()
		var params *alwayson.InfoTable
		if params, bad = restjson.Params(object, nil); bad == nil {
			return params, r.roomFor(w, q, slot, params)
		}
	}
	r.refuse(w, q, outcomeInvalid, bad.Status, bad.Text)
	return nil, false
}

// roomFor counts the cells of the request's tables; false: there are too many at
// the moment, and the answer is written.
func (r *REST) roomFor(w http.ResponseWriter, q *http.Request, slot *slot, params *alwayson.InfoTable) bool {
	slot.cells = int64(params.Cells())
	if r.load.cells.Add(slot.cells) <= max(r.opt.Cells, alwayson.DefaultCells) {
		return true
	}
	r.full(w, q, "too many cells of tables are under way already")
	return false
}

// fewCells is what the tables of an answer may always have.
const fewCells = 500

// roomForAnswer counts the cells of an answer until it is written; false: there are
// too many at the moment.
func (r *REST) roomForAnswer(slot *slot, resp *alwayson.Response) bool {
	n := int64(resp.Content.Unwrap().Table().Cells())
	if n <= fewCells {
		return true
	}
	slot.answer = n
	return r.load.answers.Add(n) <= max(r.opt.Cells, alwayson.DefaultCells)
}

// slot is a request's place among those in flight. It is free again when nobody
// holds it any more.
type slot struct {
	rest  *REST
	held  atomic.Int32
	bytes int64 // of its body, at most
	cells int64 // of its tables

	answer int64 // cells of its answer's tables
}

func (r *REST) enter() *slot {
	if r.load.inFlight.Add(1) > int64(r.opt.InFlight) {
		r.load.inFlight.Add(-1)
		return nil
	}
	r.metrics.inFlight.Add(1)
	s := &slot{rest: r}
	s.held.Store(1)
	return s
}

func (s *slot) keep() { s.held.Add(1) }

func (s *slot) leave() {
	if s.held.Add(-1) == 0 {
		s.rest.load.bodies.Add(-s.bytes)
		s.rest.load.cells.Add(-s.cells)
		s.rest.load.answers.Add(-s.answer)
		s.rest.load.inFlight.Add(-1)
		s.rest.metrics.inFlight.Add(-1)
	}
}

// accepts reports whether JSON is among what a caller takes.
func accepts(headers []string) bool {
	if len(headers) == 0 {
		return true
	}
	for kind := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		kind, parameters, _ := strings.Cut(kind, ";")
		quality := strings.ReplaceAll(strings.ToLower(parameters), " ", "")
		if quality == "q=0" || quality == "q=0.0" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "", "*/*", "application/*", "application/json":
			return true
		}
	}
	return false
}

// turnedAway answers a request that the guard does not let in.
func (r *REST) turnedAway(w http.ResponseWriter, q *http.Request, status int, text string) {
	outcome := outcomeInvalid
	switch status {
	case http.StatusUnauthorized:
		outcome = outcomeUnauthorized
		text += "; it is the bridge's own, rest.token or rest.username: an application key is not taken here"
	case http.StatusForbidden:
		outcome = outcomeDenied
	}
	r.refuse(w, q, outcome, status, text)
}

func (r *REST) full(w http.ResponseWriter, q *http.Request, text string) {
	w.Header().Set("Retry-After", "1")
	r.refuse(w, q, outcomeFull, http.StatusServiceUnavailable, "the bridge is full: "+text)
}

// refuse answers a request that did not reach the platform, or got no answer there.
func (r *REST) refuse(w http.ResponseWriter, q *http.Request, outcome string, status int, text string) {
	setOutcome(w, outcome)
	r.episodes.note(outcome, q, text)
	http.Error(w, text, status)
}

func (r *REST) refusedConnection() {
	r.metrics.connections.Inc()
	r.episodes.note(outcomeFull, nil, fmt.Sprintf("%d connections are open already", r.opt.Connections))
}

// writeRoom is how long an answer may take to be written, at least.
const writeRoom = 15 * time.Second

// counted counts requests by how they end, and how long they take.
func (r *REST) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		began := time.Now()
		// The server's own limit is that of the options it was started with. A writer
		// without one is a test's.
		_ = http.NewResponseController(w).SetWriteDeadline(began.Add(r.opt.Timeout + writeRoom))
		c := &outcomeWriter{ResponseWriter: w, outcome: outcomeOK}
		next.ServeHTTP(c, q)
		r.metrics.ended(c.outcome, time.Since(began))
	})
}

// outcomeWriter carries how a request ended to where it is counted.
type outcomeWriter struct {
	http.ResponseWriter
	outcome string
}

// Unwrap lets http.MaxBytesReader and http.ResponseController reach the server's own.
func (w *outcomeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func setOutcome(w http.ResponseWriter, outcome string) {
	if c, ok := w.(*outcomeWriter); ok {
		c.outcome = outcome
	}
}
