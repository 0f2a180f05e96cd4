package bridge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// upward carries a device's call to a service of its own Thing on the
// platform, and the answer back. Only services that the configuration names.
func (b *Bridge) upward(u *mapping.Upward) {
	if u.Problem != "" {
		b.upwardEnd(u, "invalid", map[string]any{"error": map[string]any{"code": 400, "message": u.Problem}})
		return
	}
	if !b.upwardServices.match(u.Service) {
		b.upwardEnd(u, "denied", map[string]any{"error": map[string]any{"code": 403,
			"message": fmt.Sprintf("service %q is not among allow.platform", u.Service)}})
		return
	}
	b.mu.Lock()
	t := b.things[u.Thing]
	bind := ""
	if t != nil {
		bind = t.bind
	}
	full := b.upwardsInFlight >= b.opt.Limits.Calls
	if t != nil && !full {
		b.upwardsInFlight++
	}
	b.mu.Unlock()
	switch {
	case t == nil:
		b.upwardEnd(u, "not_found", map[string]any{"error": map[string]any{"code": 404, "message": "this device has not announced itself"}})
		return
	case full:
		b.upwardEnd(u, "refused", map[string]any{"error": map[string]any{"code": 503, "message": "the bridge is full"}})
		return
	}
	req := alwayson.ServiceRequest(alwayson.EntityThing, bind, u.Service, inputTable(u.Inputs))
	b.platform.Start(alwayson.Post, req, b.opt.PushTimeout, func(resp *alwayson.Response, err error) {
		b.mu.Lock()
		b.upwardsInFlight--
		b.mu.Unlock()
		b.upwardAnswered(u, resp, err)
	})
}

func (b *Bridge) upwardAnswered(u *mapping.Upward, resp *alwayson.Response, err error) {
	switch {
	case errors.Is(err, alwayson.ErrNoAnswer):
		b.upwardEnd(u, "timeout", map[string]any{"error": map[string]any{"code": 504, "message": err.Error()}})
	case err != nil:
		b.upwardEnd(u, "unavailable", map[string]any{"error": map[string]any{"code": 503, "message": err.Error()}})
	case !resp.Code.IsSuccess():
		text := resp.Reason
		if text == "" {
			text = resp.Code.String()
		}
		b.upwardEnd(u, "platform_error", map[string]any{"error": map[string]any{"code": resp.Code.HTTPStatus(), "message": text}})
	default:
		reply := map[string]any{}
		if v := alwayson.Result(resp.Content, "result"); !v.IsNothing() {
			reply["result"] = mapping.ToJSON(v)
		}
		b.upwardEnd(u, "ok", reply)
	}
}

func (b *Bridge) upwardEnd(u *mapping.Upward, outcome string, reply map[string]any) {
	b.metrics.upwards.WithLabelValues(outcome).Inc()
	if u.ReplyTopic == "" {
		return
	}
	payload := mapping.AppendJSON(nil, mapping.Infer(reply))
	b.bus.Publish(Publication{Topic: u.ReplyTopic, Payload: payload, QoS: 1, Expires: time.Now().Add(time.Minute)}, nil)
}

// inputTable makes the one row of a call's inputs; nil for none.
func inputTable(inputs any) *alwayson.InfoTable {
	object, ok := inputs.(map[string]any)
	if !ok || len(object) == 0 {
		return nil
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	row := make([]alwayson.Named, 0, len(names))
	for _, name := range names {
		if v := mapping.Infer(object[name]); !v.IsNothing() {
			row = append(row, alwayson.Named{Name: name, Value: v})
		}
	}
	return alwayson.OneRow(row...)
}
