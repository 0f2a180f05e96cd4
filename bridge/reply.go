package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// reply offers a device's message to the call it answers. It counts only on
// the Thing and the reply rule of that call.
func (r *relay) reply(e *mapping.Reply) {
	if e.Request != "" {
		r.replyByID(e)
		return
	}
	if r.lateReply(e) {
		return
	}
	r.mu.Lock()
	var waiting []*call
	if rt := r.routes[routeKey{e.Thing, e.Route}]; rt != nil {
		waiting = slices.Clone(rt.calls)
	}
	r.mu.Unlock()
	for _, k := range waiting {
		if r.answer(k, e) {
			return
		}
	}
	if len(waiting) > 0 {
		r.b.metrics.ignored("no_match")
	} else {
		r.b.metrics.ignored("nobody_waits")
	}
}

func (r *relay) replyByID(e *mapping.Reply) {
	r.mu.Lock()
	k := r.byRequest[e.Request]
	_, late := r.recent[e.Request]
	r.mu.Unlock()
	if k == nil && e.Late != nil {
		if t := r.b.thing(e.Thing); t != nil {
			r.clear(t, e.Late())
		}
	}
	switch {
	case k == nil && late:
		r.b.metrics.ignored("late")
	case k == nil:
		r.b.metrics.ignored("unknown")
	case k.t.name != e.Thing || k.c.Route != e.Route:
		r.b.metrics.ignored("foreign")
		r.b.trouble(e.Thing, "reply", "a reply on this Thing's topic carries the id of another Thing's or rule's call")
	case r.answer(k, e):
	case k.c.Begun(e.Input):
		r.mu.Lock()
		k.begun = true
		r.mu.Unlock()
	default:
		r.b.metrics.ignored("no_match")
	}
}

// clearTime is how long what is sent after a call waits for the broker.
const clearTime = time.Hour

// clear sends what has to be sent once a call is over.
func (r *relay) clear(t *thing, finally []mapping.Publication) {
	for _, p := range finally {
		r.b.send(r.b.profileOf(t), Publication{Topic: p.Topic, Payload: p.Payload, QoS: qosOf(p), Retain: p.Retain, Expires: time.Now().Add(clearTime)}, nil)
	}
}

// answer ends the call with the message, if it is its answer.
func (r *relay) answer(k *call, e *mapping.Reply) bool {
	r.mu.Lock()
	waits := k.phase == sent
	r.mu.Unlock()
	if !waits {
		return false
	}
	v, err, ok := k.c.Answer(e.Input)
	if !ok {
		return false
	}
	if err == nil {
		return r.finish(k, "ok", v, nil)
	}
	return r.finish(k, "device_error", alwayson.Value{}, callError(err))
}

func callError(err error) *mapping.CallError {
	var e *mapping.CallError
	if errors.As(err, &e) {
		return e
	}
	return &mapping.CallError{Code: alwayson.InternalServerError, Text: err.Error()}
}

// values offers live values to writes and reads that wait for them.
func (r *relay) values(name string, vals []alwayson.PropertyValue) {
	r.mu.Lock()
	waiting := r.echo[name]
	if len(waiting) == 0 {
		r.mu.Unlock()
		return
	}
	waiting = slices.Clone(waiting)
	r.mu.Unlock()
	for _, k := range waiting {
		for i := range vals {
			if vals[i].Name == k.c.EchoProperty {
				r.echoed(k, vals[i].Value)
			}
		}
	}
}

func (r *relay) echoed(k *call, v alwayson.Value) {
	if k.kind == "read" || k.c.EchoValue.IsNothing() {
		r.finish(k, "ok", v, nil)
		return
	}
	r.b.mu.Lock()
	def := fieldOf(k.t.device, k.c.EchoProperty)
	r.b.mu.Unlock()
	if mapping.Equal(def, v, k.c.EchoValue) {
		r.finish(k, "ok", alwayson.Value{}, nil)
		return
	}
	r.mu.Lock()
	k.reported = v
	r.mu.Unlock()
}

// fieldOf is the declared type of a property, nil where it is inferred.
func fieldOf(d *mapping.Device, property string) *alwayson.FieldDefinition {
	if d.Definitions == nil || d.Definitions.Properties[property] == nil {
		return nil
	}
	return &d.Definitions.Properties[property].FieldDefinition
}

// timeout ends a call whose time is over.
func (r *relay) timeout(k *call, limit time.Duration) {
	r.mu.Lock()
	phase, reported, unsent := k.phase, k.reported, cmp.Or(k.asker, k).unsent > 0
	r.mu.Unlock()
	if phase == sent && unsent {
		r.finish(k, "unavailable", alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable,
			Text: fmt.Sprintf("the message to %s could not be sent within %s: no connection to the broker", k.t.name, limit)})
		return
	}
	r.finish(k, "timeout", alwayson.Value{}, &mapping.CallError{Code: alwayson.GatewayTimeout, Text: r.timeoutText(k, phase, reported, limit)})
}

func (r *relay) timeoutText(k *call, p phase, reported alwayson.Value, limit time.Duration) string {
	name := k.t.name
	switch {
	case p == queued:
		return fmt.Sprintf("%s did not answer within %s: it was busy with earlier calls", name, limit)
	case p == asleep:
		return fmt.Sprintf("%s did not answer within %s: it sleeps and did not show itself", name, limit)
	case k.kind != "write" || k.c.EchoProperty == "":
		return fmt.Sprintf("%s did not answer within %s", name, limit)
	}
	if reported.IsNothing() {
		r.b.mu.Lock()
		if known := k.t.knownLocked(k.c.EchoProperty); known != nil {
			reported = known.Value
		}
		r.b.mu.Unlock()
	}
	if reported.IsNothing() {
		return fmt.Sprintf("%s did not answer within %s: it reports no value of %s", name, limit, k.c.EchoProperty)
	}
	return fmt.Sprintf("%s did not answer within %s: it still reports %s = %s", name, limit, k.c.EchoProperty, cut(string(mapping.AppendJSON(nil, reported))))
}

// gone ends the calls to a Thing whose device is no longer there. Promised
// writes wait for it to come back.
func (r *relay) gone(name, why string) {
	r.endWhere(why, func(k *call) bool { return k.t.name == name })
}

// close ends every call, those that come from now on at once: the goroutine that
// sees to their time ends, too.
func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.endWhere(stops, func(*call) bool { return true })
}

func (r *relay) endWhere(why string, which func(*call) bool) {
	var list []*call
	r.mu.Lock()
	if r.inFlight() == 0 {
		r.mu.Unlock()
		return
	}
	for _, rt := range r.routes {
		for _, k := range rt.queue {
			if which(k) {
				list = append(list, k)
			}
		}
		for _, k := range rt.calls {
			if which(k) {
				list = append(list, k)
			}
		}
	}
	r.mu.Unlock()
	for _, k := range list {
		r.finish(k, "unavailable", alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable, Text: why})
	}
}
