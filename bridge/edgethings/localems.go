package edgethings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// LocalEMS is the pseudo-Thing that agents register at. It is on no platform.
const LocalEMS = "LocalEms"

// Serve answers requests for LocalEms, and forwards to the platform what an
// agent needs for its own Thing: its properties, its events, and the services by
// which it pushes values and asks for its subscriptions. Everything else is none of ours.
func (m *Manager) Serve(ctx context.Context, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, bool) {
	if req.EntityType != alwayson.EntityThing {
		return nil, false
	}
	if strings.EqualFold(req.Entity, LocalEMS) {
		return m.localEMS(method, req), true
	}
	t := m.find(req.Entity)
	if t == nil || !forAgents(req) {
		return nil, false
	}
	if why := m.notReady(ctx, t); why != "" {
		return alwayson.Fail(alwayson.ServiceUnavailable, why), true
	}
	up := *req
	up.Entity = t.name
	if method == alwayson.Put {
		up.Params = named(req.Name, req.Params)
	}
	return m.forward(ctx, method, &up), true
}

// readyTime is how long a request of an agent waits for its Thing to be bound.
const readyTime = 5 * time.Second

// notReady says why a request of an agent for its own Thing is not forwarded; "" if it
// may be. Whoever may register may choose any name that is free here; that the platform
// has bound it and told its subscriptions is the platform's word that
// the Thing is one of an edge and not somebody else's. It waits for that a while.
func (m *Manager) notReady(ctx context.Context, t *thing) string {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for {
		m.mu.Lock()
		why, moved := m.notReadyLocked(t)
		m.mu.Unlock()
		if why == "" || moved == nil {
			return why
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return why
		}
	}
}

// notReadyLocked also gives what to wait for; nil: waiting does not help.
func (m *Manager) notReadyLocked(t *thing) (why string, moved chan struct{}) {
	switch {
	case m.things[fold(t.name)] != t:
		return fmt.Sprintf("%s is not registered any more", t.name), nil
	case t.ready:
		return "", nil
	case !m.up:
		return alwayson.ErrNotConnected.Error(), nil
	case t.bind == alwayson.Refused:
		return fmt.Sprintf("the platform refuses to bind %s, so nothing is sent for it: %s", t.name, t.reason), nil
	}
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	if t.state != alive {
		return fmt.Sprintf("nothing is sent for %s before its agent answers at %s and the platform has bound it; register without a port where nothing listens", t.name, t.reg.address()), t.moved
	}
	return fmt.Sprintf("nothing is sent for %s before the platform has bound it and told its subscriptions", t.name), t.moved
}

// movedLocked wakes who waits for a change of the Thing.
func (t *thing) movedLocked() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// forAgents reports whether an agent may make this request for its own Thing
// without a rule of the configuration.
func forAgents(req *alwayson.Request) bool {
	return req.Characteristic != alwayson.Services || req.Name == alwayson.ServicePush || req.Name == alwayson.ServiceGetSubscriptions
}

// named gives the only value of a write the property's name where an agent
// calls it "value", as a Lua script may.
func named(property string, params *alwayson.InfoTable) *alwayson.InfoTable {
	if property == "" || property == alwayson.AllProperties || params == nil || params.Column(alwayson.ContentField) < 0 {
		return params
	}
	var object map[string]json.RawMessage
	text := params.Cell(0, alwayson.ContentField).Unwrap().Text()
	if json.Unmarshal([]byte(text), &object) != nil || len(object) != 1 || object["value"] == nil {
		return params
	}
	content := append(appendRaw([]byte{'{'}, property, object["value"]), '}')
	return alwayson.OneRow(alwayson.Named{Name: alwayson.ContentField, Value: alwayson.NewText(alwayson.TypeJSON, string(content))})
}

// forward has the platform answer, within ctx.
func (m *Manager) forward(ctx context.Context, method alwayson.Code, req *alwayson.Request) *alwayson.Response {
	type ending struct {
		resp *alwayson.Response
		err  error
	}
	timeout := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	end := make(chan ending, 1)
	m.platform.Start(method, req, timeout, func(resp *alwayson.Response, err error) { end <- ending{resp, err} })
	select {
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			<-end // who leaves early keeps the place, so that nobody heaps up work by leaving
		}
		return alwayson.Fail(alwayson.GatewayTimeout, "the platform did not answer in time; it may have acted")
	case e := <-end:
		switch {
		case e.err == nil:
			return e.resp
		case errors.Is(e.err, alwayson.ErrNoAnswer):
			return alwayson.Fail(alwayson.GatewayTimeout, e.err.Error()+"; it may have acted")
		case errors.Is(e.err, alwayson.ErrTooLarge):
			return alwayson.Fail(alwayson.EntityTooLarge, e.err.Error())
		case errors.Is(e.err, alwayson.ErrConnectionLost):
			return alwayson.Fail(alwayson.BadGateway, e.err.Error()+"; it may have acted")
		}
		return alwayson.Fail(alwayson.ServiceUnavailable, e.err.Error())
	}
}

func (m *Manager) localEMS(method alwayson.Code, req *alwayson.Request) *alwayson.Response {
	switch {
	case req.Characteristic == alwayson.Properties && method == alwayson.Get:
		return m.localProperty(req.Name)
	case req.Characteristic == alwayson.Services && method == alwayson.Post:
		return m.localService(req.Name, newParams(req.Params))
	case req.Characteristic == alwayson.Properties:
		return alwayson.Fail(alwayson.MethodNotAllowed, LocalEMS+" has no property that can be written")
	}
	return alwayson.Fail(alwayson.NotFound, fmt.Sprintf("%s has no %s", LocalEMS, req.Characteristic))
}

func (m *Manager) localProperty(name string) *alwayson.Response {
	m.mu.Lock()
	connected := alwayson.Named{Name: "isConnected", Value: alwayson.NewBoolean(m.up)}
	m.mu.Unlock()
	version := alwayson.Named{Name: "version", Value: alwayson.NewString("thingbridge " + m.opt.Version)}
	switch name {
	case "", alwayson.AllProperties:
		return alwayson.OK(alwayson.NewTable(alwayson.OneRow(connected, version)))
	case connected.Name:
		return alwayson.OK(alwayson.NewTable(alwayson.OneRow(connected)))
	case version.Name:
		return alwayson.OK(alwayson.NewTable(alwayson.OneRow(version)))
	}
	return alwayson.Fail(alwayson.NotFound, fmt.Sprintf("%s has no property %q; it has isConnected and version", LocalEMS, name))
}

func (m *Manager) localService(name string, p *params) *alwayson.Response {
	switch name {
	case "AddEdgeThing":
		return m.add(p)
	case "RemoveEdgeThing":
		return m.removeEdgeThing(p)
	case "HasEdgeThing":
		thing := p.name()
		if p.bad != "" {
			return alwayson.Fail(alwayson.BadRequest, p.bad)
		}
		return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewBoolean(m.has(thing)))))
	case "GetEdgeThings":
		return alwayson.OK(alwayson.NewTable(m.list()))
	}
	return alwayson.Fail(alwayson.NotFound, fmt.Sprintf("%s has no service %q; it has AddEdgeThing, RemoveEdgeThing, HasEdgeThing and GetEdgeThings", LocalEMS, name))
}

// add is AddEdgeThing. An agent repeats it often; what says nothing new changes nothing.
func (m *Manager) add(p *params) *alwayson.Response {
	reg := p.registration()
	refused := (*alwayson.Response)(nil)
	if p.bad != "" {
		refused = alwayson.Fail(alwayson.BadRequest, p.bad)
	} else {
		refused = m.admit(reg, true)
	}
	if refused != nil {
		m.metrics.registration("refused")
		m.refused(reg, refused.Reason)
		return refused
	}
	m.metrics.registration("added")
	return alwayson.OK(alwayson.Value{})
}

// removeEdgeThing is RemoveEdgeThing. To remove what is not there is no error.
func (m *Manager) removeEdgeThing(p *params) *alwayson.Response {
	name := p.name()
	if p.bad != "" {
		return alwayson.Fail(alwayson.BadRequest, p.bad)
	}
	if m.forget(name) {
		m.metrics.registration("removed")
		m.log.Info("edge thing removed", "thing", name)
	}
	return alwayson.OK(alwayson.Value{})
}

// has reports whether a Thing is registered and its agent, where it was asked,
// answers: an agent that is told no registers anew.
func (m *Manager) has(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.things[fold(name)]
	return t != nil && t.state != silent
}
