package main

import (
	"fmt"

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
	name string
}

func (h *ownThingHandler) BindChanged(name string, state alwayson.BindState, reason string) {
	if name != h.name {
		h.Handler.BindChanged(name, state, reason)
	}
}

func (h *ownThingHandler) Subscribed(name string, subs []alwayson.Subscription) {
	if name != h.name {
		h.Handler.Subscribed(name, subs)
	}
}

func (h *ownThingHandler) CurrentValues(name string) []alwayson.PropertyValue {
	if name == h.name {
		return nil
	}
	return h.Handler.CurrentValues(name)
}

func (h *ownThingHandler) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	switch {
	case name != h.name:
		h.Handler.Request(name, method, req, respond)
	case method == alwayson.Post && req.Characteristic == alwayson.Services && req.Name == "GetMetadata":
		meta := alwayson.Metadata{Name: h.name, Description: "thingbridge " + version}
		respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewText(alwayson.TypeJSON, string(meta.JSON()))))))
	default:
		respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("the bridge's own thing %q has no %s %q", h.name, req.Characteristic, req.Name)))
	}
}
