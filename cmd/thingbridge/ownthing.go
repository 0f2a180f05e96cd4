package main

import (
	"fmt"
	"sync/atomic"

	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/edge/alwayson"
)

// ownThing gives the name that the bridge binds for itself; "" for none. With a
// gateway type it is the connection that shows as a Thing, and nothing is bound.
func ownThing(c *config.Config) string {
	if c.Platform.Gateway.Type != "" {
		return ""
	}
	return c.Platform.Gateway.Name
}

// ownThingHandler answers for the bridge's own Thing, which has no device, no
// services and no properties, and hands everything else on.
type ownThingHandler struct {
	edge.Handler
	present atomic.Pointer[string] // its name; "" while there is none
}

func newOwnThingHandler(h edge.Handler, name string) *ownThingHandler {
	own := &ownThingHandler{Handler: h}
	own.rename(name)
	return own
}

// rename has the handler answer for another name; "" for none.
func (h *ownThingHandler) rename(name string) { h.present.Store(&name) }

// is reports whether a name is the bridge's own Thing's; no Thing is called "".
func (h *ownThingHandler) is(name string) bool { return name == *h.present.Load() }

func (h *ownThingHandler) BindChanged(name string, state alwayson.BindState, reason string) {
	if !h.is(name) {
		h.Handler.BindChanged(name, state, reason)
	}
}

func (h *ownThingHandler) Subscribed(name string, subs []alwayson.Subscription) {
	if !h.is(name) {
		h.Handler.Subscribed(name, subs)
	}
}

func (h *ownThingHandler) CurrentValues(name string) []alwayson.PropertyValue {
	if h.is(name) {
		return nil
	}
	return h.Handler.CurrentValues(name)
}

func (h *ownThingHandler) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	switch {
	case !h.is(name):
		h.Handler.Request(name, method, req, respond)
	case method == alwayson.Post && req.Characteristic == alwayson.Services && req.Name == "GetMetadata":
		meta := alwayson.Metadata{Name: name, Description: "thingbridge " + version}
		respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewText(alwayson.TypeJSON, string(meta.JSON()))))))
	default:
		respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("the bridge's own thing %q has no %s %q", name, req.Characteristic, req.Name)))
	}
}
