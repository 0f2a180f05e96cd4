package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
	"thingbridge/mapping"
)

// upwards are the devices' calls to services of their own Things on the
// platform. A request is named by its Thing, service and id. Each that is let
// through is called once and ends in one reply: by the platform's answer, its
// time-out, or the end of the bridge, whoever comes first. Requests that the broker
// delivers again are told by their name; they and retained ones, which come with
// every connection, get no reply of their own.
type upwards struct {
	b     *Bridge
	ended chan struct{} // one ended

	// mu guards the following.
	mu       sync.Mutex
	calls    map[upwardKey]*mapping.Upward
	perThing map[string]int
	recent   map[upwardKey]struct{} // that ended lately
	ring     []upwardKey            // of recent, to forget the oldest
	pos      int
}

type upwardKey struct{ thing, service, request string }

func keyOf(u *mapping.Upward) upwardKey { return upwardKey{u.Thing, u.Service, u.Request} }

const (
	maxUpwardName   = 255         // bytes of the name of a service or a request, which are remembered
	recentUpwards   = 4096        // ended requests that are recognised when they come again
	upwardReplyTime = time.Minute // a reply that the broker does not have after that is dropped
)

func newUpwards(b *Bridge) *upwards {
	return &upwards{b: b, ended: make(chan struct{}, 1), calls: map[upwardKey]*mapping.Upward{}, perThing: map[string]int{},
		recent: map[upwardKey]struct{}{}, ring: make([]upwardKey, recentUpwards)}
}

// request takes a device's request in. m is the message it came with.
func (w *upwards) request(u *mapping.Upward, m *Message) {
	b := w.b
	switch {
	case m.Retained:
		b.metrics.upward("retained")
		b.trouble(u.Thing, "upward", fmt.Sprintf("a request for service %q is retained; it is not called, since it would be again with every connection", cut(u.Service)))
		return
	case m.Dup && w.known(u):
		b.metrics.upward("duplicate")
		return
	case u.Unannounced:
		w.reply(u, "not_found", 404, "this device has not announced itself")
		return
	case u.Problem != "":
		w.reply(u, "invalid", 400, u.Problem)
		return
	case len(u.Service) > maxUpwardName || len(u.Request) > maxUpwardName:
		w.reply(u, "invalid", 400, fmt.Sprintf("the service's name and the request's have %d bytes at most", maxUpwardName))
		return
	case !b.inForce().upward.match(u.Service):
		w.reply(u, "denied", 403, fmt.Sprintf("service %q is not among allow.platform", u.Service))
		return
	case m.Dup && m.Session == 1:
		// It was delivered before, to a process that is gone or had no time to read it.
		w.reply(u, "repeated", 503, "the bridge has restarted since the broker delivered this request first, and does not know whether it was called: ask again")
		return
	}
	inputs, err := inputTable(u.Inputs)
	if err != nil {
		w.reply(u, "invalid", 400, err.Error())
		return
	}
	w.call(u, inputs)
}

// known reports whether a request is in flight or ended lately.
func (w *upwards) known(u *mapping.Upward) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, recent := w.recent[keyOf(u)]
	return recent || w.calls[keyOf(u)] != nil
}

// call carries a request out, unless it is in flight already.
func (w *upwards) call(u *mapping.Upward, inputs *alwayson.InfoTable) {
	b := w.b
	t := b.thing(u.Thing)
	if t == nil {
		w.reply(u, "not_found", 404, "this device has not announced itself")
		return
	}
	b.mu.Lock()
	bind, theirs := t.bind, t.notOursLocked()
	b.mu.Unlock()
	if theirs != "" {
		w.reply(u, "refused", 503, theirs)
		return
	}
	w.mu.Lock()
	inFlight, full := w.calls[keyOf(u)] != nil, w.fullLocked(u.Thing)
	if !inFlight && full == "" {
		w.calls[keyOf(u)] = u
		w.perThing[u.Thing]++
	}
	w.mu.Unlock()
	switch {
	case inFlight: // its reply is the one that is under way
		b.metrics.upward("duplicate")
		return
	case full != "":
		b.episodic("upward", "requests of devices refused", "thing", u.Thing, "reason", full)
		w.reply(u, "refused", 503, full)
		return
	}
	req := alwayson.ServiceRequest(alwayson.EntityThing, bind, u.Service, inputs)
	b.platform.Start(alwayson.Post, req, b.inForce().pushTimeout, func(resp *alwayson.Response, err error) {
		if w.take(u) {
			w.answered(u, resp, err)
		}
	})
}

// notOursLocked says why a device must not act for the Thing of its name: whoever
// may announce may choose any name, and it is the bind by which the platform says
// that the Thing is one of a device and not somebody else's. "" where it has said so.
func (t *thing) notOursLocked() string {
	switch {
	case t.state == alwayson.Refused:
		return "the platform refuses to bind this device's Thing: " + t.reason
	case t.ours != t.bind:
		return "the platform has not bound this device's Thing yet; ask again"
	}
	return ""
}

func (w *upwards) fullLocked(thing string) string {
	lim := w.b.inForce().limits
	if n := len(w.calls); n >= lim.Calls {
		return fmt.Sprintf("the bridge is full: %d requests of devices are in flight (limits.calls)", n)
	}
	if n := w.perThing[thing]; n >= lim.CallsPerThing {
		return fmt.Sprintf("%d requests of %s are in flight (limits.calls_per_thing)", n, thing)
	}
	return ""
}

// take removes a request from those in flight; whoever gets it replies.
func (w *upwards) take(u *mapping.Upward) bool {
	key := keyOf(u)
	w.mu.Lock()
	if w.calls[key] != u {
		w.mu.Unlock()
		return false
	}
	delete(w.calls, key)
	if w.perThing[u.Thing]--; w.perThing[u.Thing] == 0 {
		delete(w.perThing, u.Thing)
	}
	delete(w.recent, w.ring[w.pos])
	w.ring[w.pos] = key
	w.recent[key] = struct{}{}
	w.pos = (w.pos + 1) % len(w.ring)
	w.mu.Unlock()
	signal(w.ended)
	return true
}

// answered replies with what the platform said.
func (w *upwards) answered(u *mapping.Upward, resp *alwayson.Response, err error) {
	switch {
	case errors.Is(err, alwayson.ErrNoAnswer):
		w.reply(u, "timeout", 504, "the platform: "+err.Error())
	case errors.Is(err, alwayson.ErrTooLarge):
		w.reply(u, "too_large", 413, err.Error())
	case errors.Is(err, alwayson.ErrConnectionLost):
		w.reply(u, "unavailable", 503, "the platform may have acted on it: "+err.Error())
	case err != nil:
		w.reply(u, "unavailable", 503, err.Error())
	case !resp.Code.IsSuccess():
		text := resp.Reason
		if text == "" {
			text = resp.Code.String()
		}
		w.reply(u, "platform_error", resp.Code.HTTPStatus(), text)
	default:
		result := map[string]any{}
		v := alwayson.Result(resp.Content, "result")
		if n := restjson.Length(v); n > restjson.MaxLength {
			w.reply(u, "too_large", 413, fmt.Sprintf("the platform's result is %d bytes of JSON; %d are passed on at most", n, restjson.MaxLength))
			return
		}
		if !v.IsNothing() {
			result["result"] = mapping.ToJSON(v)
		}
		w.publish(u, "ok", result)
	}
}

func (w *upwards) reply(u *mapping.Upward, outcome string, code int, text string) {
	w.publish(u, outcome, map[string]any{"error": map[string]any{"code": code, "message": text}})
}

func (w *upwards) publish(u *mapping.Upward, outcome string, reply map[string]any) {
	b := w.b
	b.metrics.upward(outcome)
	payload := mapping.AppendJSON(nil, mapping.Infer(reply))
	profile := ""
	if t := b.thing(u.Thing); t != nil {
		profile = b.profileOf(t)
	}
	p := Publication{Topic: u.ReplyTopic, Payload: payload, QoS: 1, Expires: time.Now().Add(upwardReplyTime)}
	b.send(profile, p, func(err error) {
		if err != nil {
			b.metrics.upwardLost.Inc()
			b.trouble(u.Thing, "upward", fmt.Sprintf("the reply to request %q for service %q was not delivered: %v", cut(u.Request), cut(u.Service), err))
		}
	})
}

func (w *upwards) inFlight() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// endAll replies to everything in flight.
func (w *upwards) endAll(why string) {
	w.mu.Lock()
	list := make([]*mapping.Upward, 0, len(w.calls))
	for _, u := range w.calls {
		list = append(list, u)
	}
	w.mu.Unlock()
	for _, u := range list {
		if w.take(u) {
			w.reply(u, "unavailable", 503, why+"; the platform may have acted on it")
		}
	}
}

// inputTable makes the one row of a call's inputs; nil for none. A value is
// taken by its looks, as the platform's REST takes it: {"dataShape", "rows"} is an info
// table, {"baseType", "value"} says its type. Inputs that are an info table
// themselves are its row.
func inputTable(inputs any) (*alwayson.InfoTable, error) {
	object, ok := inputs.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, nil
	}
	if len(object) == 2 && object["dataShape"] != nil && object["rows"] != nil {
		table, problem := restjson.Params(rawJSON(object), nil)
		if problem != nil {
			return nil, problem
		}
		return table, nil
	}
	row := make([]alwayson.Named, 0, len(object))
	cells := 0
	for _, name := range slices.Sorted(maps.Keys(object)) {
		v, err := inputValue(object[name])
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		if cells += v.Unwrap().Table().Cells(); cells > alwayson.DefaultCells {
			return nil, fmt.Errorf("input %q: the tables of the inputs have more than %d cells (rows times columns) together", name, alwayson.DefaultCells)
		}
		if !v.IsNothing() {
			row = append(row, alwayson.Named{Name: name, Value: v})
		}
	}
	return alwayson.OneRow(row...), nil
}

func inputValue(v any) (alwayson.Value, error) {
	if m, ok := v.(map[string]any); ok && (m["rows"] != nil || m["baseType"] != nil) {
		return restjson.Value(rawJSON(m), alwayson.FieldDefinition{Type: alwayson.TypeVariant})
	}
	return mapping.Infer(v), nil
}

func rawJSON(object map[string]any) json.RawMessage {
	return mapping.AppendJSON(nil, mapping.Infer(object))
}
