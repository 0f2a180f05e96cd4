package edgethings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// Request implements bridge.PlatformEvents: a request for one of our Things is
// forwarded to its agent, any other handed on.
func (m *Manager) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	if m.find(name) == nil {
		m.next.Request(name, method, req, respond)
		return
	}
	bytes := restjson.Length(alwayson.NewTable(req.Params))
	m.mu.Lock()
	t := m.things[fold(name)]
	if t == nil {
		m.mu.Unlock()
		m.next.Request(name, method, req, respond)
		return
	}
	if refused := m.refusedLocked(t, method, req, bytes); refused != nil {
		m.mu.Unlock()
		m.metrics.request("refused", 0)
		respond(refused)
		return
	}
	f := &flight{m: m, t: t, reg: t.reg, bytes: bytes, started: time.Now(), done: make(chan struct{})}
	t.inFlight++
	m.inFlight++
	m.bytes += bytes
	if method == alwayson.Put {
		f.after, t.lastWrite = t.lastWrite, f.done
	}
	m.flights.Go(func() { f.run(method, req, respond) })
	m.mu.Unlock()
}

// Call calls a service of an edge thing as the platform would; the response is
// nil when ctx ends first. mine is false where the Thing is none of ours.
func (m *Manager) Call(ctx context.Context, thing, service string, inputs *alwayson.InfoTable) (resp *alwayson.Response, mine bool) {
	if m.find(thing) == nil {
		return nil, false
	}
	answer := make(chan *alwayson.Response, 1)
	req := alwayson.ServiceRequest(alwayson.EntityThing, thing, service, inputs)
	m.Request(thing, alwayson.Post, req, func(resp *alwayson.Response) { answer <- resp })
	select {
	case resp := <-answer:
		return resp, true
	case <-ctx.Done():
		return nil, true
	}
}

// refusedLocked is the answer to a request that is not forwarded; nil: it is.
func (m *Manager) refusedLocked(t *thing, method alwayson.Code, req *alwayson.Request, bytes int) *alwayson.Response {
	properties, limits := req.Characteristic == alwayson.Properties, m.limits.Load()
	switch {
	case req.Characteristic == alwayson.Services && method != alwayson.Post:
		return alwayson.Fail(alwayson.MethodNotAllowed, "a service is called with POST")
	case properties && method != alwayson.Get && method != alwayson.Put:
		return alwayson.Fail(alwayson.MethodNotAllowed, "a property is read with GET and written with PUT")
	case !properties && req.Characteristic != alwayson.Services:
		return alwayson.Fail(alwayson.MethodNotAllowed, fmt.Sprintf("an edge thing takes no %s", req.Characteristic))
	case m.stopping:
		return alwayson.Fail(alwayson.ServiceUnavailable, "the bridge stops")
	case t.reg.Port == 0:
		return alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("the edge thing %s registered without a port, so it cannot be asked", t.name))
	case bytes > restjson.MaxLength:
		// A short message can hold a table with a long column name and many rows.
		return alwayson.Fail(alwayson.EntityTooLarge, fmt.Sprintf("the request to %s is %d bytes of JSON; %d are sent to an agent at most", t.name, bytes, restjson.MaxLength))
	case m.bytes > 0 && m.bytes+bytes > m.opt.Bytes:
		return alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("the bridge is full: requests to edge things with %d bytes of JSON are in flight", m.bytes))
	case m.inFlight >= limits.Calls:
		return alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("the bridge is full: %d requests to edge things are in flight (limits.calls)", m.inFlight))
	case t.inFlight >= limits.CallsPerThing:
		return alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("%s is busy: %d requests are in flight (limits.calls_per_thing)", t.name, t.inFlight))
	}
	return nil
}

// flight is one request of the platform on its way to an agent.
type flight struct {
	m       *Manager
	t       *thing
	reg     *registration
	bytes   int     // of the request's JSON
	answer  *answer // that the response is made of
	started time.Time
	after   chan struct{} // the write before this one; nil: there is none
	done    chan struct{} // closed at the end
}

// run is the goroutine of one request.
func (f *flight) run(method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	ctx, cancel := context.WithDeadline(f.m.base, f.started.Add(f.reg.Timeout))
	defer cancel()
	resp := f.turn(ctx)
	if resp == nil {
		switch {
		case req.Characteristic == alwayson.Services:
			resp = f.service(ctx, req)
		case method == alwayson.Get:
			resp = f.read(ctx, req.Name)
		default:
			resp = f.write(ctx, req)
		}
	}
	close(f.done)
	f.m.mu.Lock()
	f.t.inFlight--
	f.m.inFlight--
	f.m.bytes -= f.bytes
	f.m.mu.Unlock()
	f.m.metrics.request(outcomeOf(resp.Code), time.Since(f.started))
	respond(resp)
	if f.answer != nil {
		f.m.drop(f.answer)
		<-f.m.reading
	}
}

// take takes an answer for the response to be made of, when there is room for that.
func (f *flight) take(a *answer) {
	f.m.reading <- struct{}{}
	f.answer = a
}

// turn waits until the write before has ended.
func (f *flight) turn(ctx context.Context) *alwayson.Response {
	if f.after == nil {
		return nil
	}
	select {
	case <-f.after:
		return nil
	case <-ctx.Done():
		return f.failed(errNoAnswer)
	}
}

// ask makes one request and tells how the agent stands. A response is an
// answer that is none of 2xx, or that there was none.
func (f *flight) ask(ctx context.Context, method string, body []byte, parts ...string) (*answer, *alwayson.Response) {
	a, err := f.m.exchange(ctx, f.t, f.reg, method, f.reg.url(parts...), body)
	f.m.heard(f.t, f.reg, err)
	if err != nil {
		return nil, f.failed(err)
	}
	if a.status/100 == 2 {
		return a, nil
	}
	defer f.m.drop(a)
	return nil, agentError(f.t.name, a)
}

// failed is the answer where the agent gave none.
func (f *flight) failed(err error) *alwayson.Response {
	text := fmt.Sprintf("the agent of %s at %s: %v", f.t.name, f.reg.address(), err)
	switch {
	case f.m.base.Err() != nil:
		return alwayson.Fail(alwayson.ServiceUnavailable, "the bridge stops; the agent may have acted")
	case errors.Is(err, errNoAnswer):
		return alwayson.Fail(alwayson.GatewayTimeout, fmt.Sprintf("%s (%s)", text, f.reg.Timeout))
	case errors.Is(err, errTooLarge), errors.Is(err, errBroken):
		return alwayson.Fail(alwayson.BadGateway, text)
	}
	return alwayson.Fail(alwayson.ServiceUnavailable, text)
}

// heard notes what a request has shown of an agent: an answer is a sign of
// life; where nobody is, a probe decides at once and not after the keepalive.
func (m *Manager) heard(t *thing, reg *registration, err error) {
	m.mu.Lock()
	var say func()
	switch {
	case m.things[fold(t.name)] != t || t.reg != reg:
	case err == nil:
		say = m.heardLocked(t)
	case !errors.Is(err, errTooLarge) && !errors.Is(err, errCrowded) && t.failures == 0:
		t.probeLocked(time.Now())
	}
	m.mu.Unlock()
	if say != nil {
		say()
	}
	signal(m.wake)
}

func (f *flight) service(ctx context.Context, req *alwayson.Request) *alwayson.Response {
	a, failed := f.ask(ctx, http.MethodPost, inputs(req.Params), "Services", req.Name)
	if failed == nil {
		f.take(a)
	}
	if req.Name == alwayson.ServiceGetMetadata {
		return metadata(f.t.name, a, failed)
	}
	if failed != nil {
		return failed
	}
	return serviceResult(f.t.name, a)
}

// inputs makes the JSON object of a call's inputs.
func inputs(params *alwayson.InfoTable) []byte {
	body := []byte{'{'}
	if params != nil && len(params.Rows) > 0 {
		for i, field := range params.Fields {
			v := params.At(0, i)
			if v.IsNothing() {
				continue
			}
			if len(body) > 1 {
				body = append(body, ',')
			}
			body = appendMember(body, field.Name, v)
		}
	}
	return append(body, '}')
}

func appendMember(body []byte, name string, v alwayson.Value) []byte {
	quoted, err := json.Marshal(name)
	if err != nil { // no string does that
		return body
	}
	return restjson.AppendValue(append(append(body, quoted...), ':'), v)
}

func (f *flight) read(ctx context.Context, name string) *alwayson.Response {
	parts := []string{"Properties"}
	all := name == "" || name == alwayson.AllProperties
	if !all {
		parts = append(parts, name)
	}
	a, failed := f.ask(ctx, http.MethodGet, nil, parts...)
	if failed != nil {
		return failed
	}
	f.take(a)
	switch {
	case all:
		return propertyRow(f.t.name, a)
	}
	return propertyValue(f.t.name, name, a)
}

// write writes one property, or several one after the other.
func (f *flight) write(ctx context.Context, req *alwayson.Request) *alwayson.Response {
	writes, problem := writesOf(req)
	if problem != "" {
		return alwayson.Fail(alwayson.BadRequest, problem)
	}
	for i, w := range writes {
		body := append(appendMember([]byte{'{'}, w.name, w.value), '}')
		if w.raw != nil {
			body = append(appendRaw([]byte{'{'}, w.name, w.raw), '}')
		}
		a, failed := f.ask(ctx, http.MethodPut, body, "Properties", w.name)
		if failed == nil {
			f.m.drop(a)
			continue
		}
		if len(writes) > 1 {
			failed.Reason = fmt.Sprintf("property %s, after %d of %d were written: %s", w.name, i, len(writes), failed.Reason)
		}
		return failed
	}
	return alwayson.OK(alwayson.Value{})
}

func appendRaw(body []byte, name string, raw json.RawMessage) []byte {
	quoted, err := json.Marshal(name)
	if err != nil { // no string does that
		return body
	}
	return append(append(append(body, quoted...), ':'), raw...)
}

// write is the new value of one property: a value, or the JSON that was sent.
type write struct {
	name  string
	value alwayson.Value
	raw   json.RawMessage
}

// writesOf reads a PUT: one property, one per field with the name *, or the field
// _content_ with a JSON object of them.
func writesOf(req *alwayson.Request) (writes []write, problem string) {
	table := req.Params
	if table == nil || len(table.Rows) == 0 || len(table.Fields) == 0 {
		return nil, "a write needs a row with a field for each property"
	}
	if i := table.Column(alwayson.ContentField); i >= 0 {
		return contentWrites(table.At(0, i).Unwrap().Text())
	}
	if req.Name != "" && req.Name != alwayson.AllProperties {
		i := table.Column(req.Name)
		if i < 0 && len(table.Fields) == 1 {
			i = 0
		}
		if i < 0 {
			return nil, fmt.Sprintf("the write of %q has no field of that name", req.Name)
		}
		return []write{{name: req.Name, value: table.At(0, i)}}, ""
	}
	for i := range table.Fields {
		writes = append(writes, write{name: table.Fields[i].Name, value: table.At(0, i)})
	}
	return writes, ""
}

// contentWrites keeps the order of the object.
func contentWrites(text string) (writes []write, problem string) {
	const bad = "the field _content_ is not a JSON object of properties"
	dec := json.NewDecoder(strings.NewReader(text))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, bad
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, bad
		}
		w := write{name: name.(string)}
		if err := dec.Decode(&w.raw); err != nil {
			return nil, bad
		}
		writes = append(writes, w)
	}
	if _, err := dec.Token(); err != nil || len(writes) == 0 {
		return nil, bad
	}
	return writes, ""
}
