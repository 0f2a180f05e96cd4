package simulator

import (
	"context"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// serve carries out a request, whoever makes it: an edge (from is its
// connection), REST or the program itself (from is nil). respond is called
// exactly once, now or later, on any goroutine; it must not block.
func (p *Platform) serve(from *conn, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	switch req.EntityType {
	case alwayson.EntityThing:
		p.serveThing(from, method, req, respond)
	case alwayson.EntityResource:
		p.serveResource(method, req, respond)
	case alwayson.EntityDataShape, alwayson.EntityThingTemplate:
		respond(p.serveModel(method, req))
	default:
		respond(fail(alwayson.NotFound, "%s [%s] does not exist", req.EntityType, req.Entity))
	}
}

// serveThing carries out a request for a Thing.
func (p *Platform) serveThing(from *conn, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	var t *thing
	if from != nil {
		if ep := from.byName[req.Entity]; ep != nil {
			t = ep.thing.Load()
		}
	}
	if t == nil {
		t = p.lookup(req.Entity)
	}
	if t == nil {
		respond(fail(alwayson.NotFound, "thing [%s] does not exist", req.Entity))
		return
	}
	switch {
	case req.Characteristic == alwayson.Services && method == alwayson.Post:
		p.serveService(from, t, req, respond)
	case req.Characteristic == alwayson.Properties && method == alwayson.Get:
		p.readProperty(t, req.Name, respond)
	case req.Characteristic == alwayson.Properties && method == alwayson.Put:
		p.writeProperties(from, t, req, respond)
	case req.Characteristic == alwayson.Events && method == alwayson.Post:
		respond(p.takeEvent(t, req))
	default:
		respond(fail(alwayson.MethodNotAllowed, "%s on %s of thing [%s]", method, req.Characteristic, t.name))
	}
}

// serveService carries out a service of a Thing: the platform's own, or one
// that the edge serves.
func (p *Platform) serveService(from *conn, t *thing, req *alwayson.Request, respond func(*alwayson.Response)) {
	if req.Name == "UpdateSubscribedPropertyValues" {
		respond(p.takePush(from, t, req))
		return
	}
	if run := thingService(req.Name); run != nil {
		run(&serviceCall{p: p, from: from, t: t, name: req.Name, in: params{req.Params}, respond: respond})
		return
	}
	t.mu.Lock()
	enabled := t.enabled
	name := req.Name
	s := t.services[name]
	var inputs []alwayson.FieldDefinition
	if s != nil {
		inputs = s.def.Inputs
		if s.edgeName != "" {
			name = s.edgeName
		}
	}
	described := t.auto.Load() && len(t.services) > 0 // by its edge, which named its services
	t.mu.Unlock()
	switch ep := t.bound(); {
	case s == nil && (!t.remote || described):
		respond(fail(alwayson.NotFound, "service [%s] does not exist on thing [%s]", req.Name, t.name))
	case !t.remote:
		respond(fail(alwayson.NotImplemented, "service [%s] of thing [%s] has no implementation here", req.Name, t.name))
	case !enabled:
		respond(fail(alwayson.ServiceUnavailable, "thing [%s] is not enabled", t.name))
	case ep == nil:
		respond(fail(alwayson.ServiceUnavailable, "thing [%s] is not connected", t.name))
	default:
		in, problem := asDeclared(req.Params, inputs)
		if problem != nil {
			respond(problem)
			return
		}
		ep.c.request(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, ep.name, name, in), respond)
	}
}

// asDeclared gives the parameters of a call as the service declares them:
// converted to their base types and in their order, then those that are not declared.
func asDeclared(given *alwayson.InfoTable, inputs []alwayson.FieldDefinition) (*alwayson.InfoTable, *alwayson.Response) {
	if len(inputs) == 0 || given.Len() == 0 {
		return given, nil
	}
	var cells []alwayson.Named
	declared := map[string]bool{}
	for _, f := range inputs {
		declared[f.Name] = true
		column := given.Column(f.Name)
		if column < 0 {
			continue
		}
		v := given.At(0, column)
		if !v.IsNothing() {
			var fits bool
			if v, fits = restjson.Coerce(v, f.Type); !fits {
				return nil, fail(alwayson.BadRequest, "parameter [%s] does not fit base type %s", f.Name, f.Type)
			}
		}
		cells = append(cells, alwayson.Named{Name: f.Name, Value: v})
	}
	for i, f := range given.Fields {
		if !declared[f.Name] {
			cells = append(cells, alwayson.Named{Name: f.Name, Value: given.At(0, i)})
		}
	}
	return alwayson.OneRow(cells...), nil
}

// Call carries out a request as REST would and waits for the answer, which may
// be an error response. The error is ctx's.
func (p *Platform) Call(ctx context.Context, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, error) {
	answer := make(chan *alwayson.Response, 1)
	p.serve(nil, method, req, func(r *alwayson.Response) { answer <- r })
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeEvent keeps an event of a Thing. An event that the Thing does not define
// is refused, except for an invented Thing, whose definitions may be on their way.
func (p *Platform) takeEvent(t *thing, req *alwayson.Request) *alwayson.Response {
	ev := p.newEvent(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events[req.Name] == nil && !t.auto.Load() {
		p.stats.eventsUnknown.Add(1)
		return fail(alwayson.NotFound, "event [%s] does not exist on thing [%s]", req.Name, t.name)
	}
	t.eventLog.add(ev)
	p.stats.events.Add(1)
	return ok(alwayson.Value{})
}
