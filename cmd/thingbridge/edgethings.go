package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"thingbridge/bridge/edgethings"
	"thingbridge/config"
	"thingbridge/edge"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
	"thingbridge/mapping"
)

// newEdgeThings makes what serves components that speak HTTP, in front of next.
func newEdgeThings(c *config.Config, a *app, next edge.Handler, metrics *edgethings.Metrics) (*edgethings.Manager, error) {
	opt := edgethings.Options{
		Names: edgeNames{a},
		Hosts: c.REST.EdgeThings.Hosts,
		Own: func() []string {
			now := a.reload.current.Load()
			return []string{now.REST.Listen, now.Console.Listen}
		},
		TLS:     func() (*tls.Config, error) { return c.REST.EdgeThings.TLS.Config("") },
		Max:     c.REST.EdgeThings.Max,
		Limits:  edgeLimits(c),
		Version: version,
		Metrics: metrics,
		Logger:  a.log.With("part", "edge"),
	}
	if !c.Memory() {
		opt.Store = a.store
	}
	return edgethings.New(opt, next)
}

func edgeLimits(c *config.Config) edgethings.Limits {
	return edgethings.Limits{Calls: c.Limits.Calls, CallsPerThing: c.Limits.CallsPerThing, MaxBody: int(c.Platform.MaxMessage)}
}

// edgeNames holds names for edge things among those of devices and of the
// bridge itself.
type edgeNames struct{ app *app }

func (n edgeNames) Reserve(name, holder string) error {
	switch {
	case strings.EqualFold(name, n.app.reload.current.Load().Platform.Gateway.Name):
		return fmt.Errorf("platform name %q is taken by the bridge itself (platform.gateway.name)", name)
	case strings.EqualFold(name, edgethings.LocalEMS):
		return fmt.Errorf("the name %q is taken by the bridge itself", name)
	}
	return n.app.bridge.Reserve(name, holder)
}

func (n edgeNames) Release(name string) { n.app.bridge.Release(name) }

// edgeThings lists the edge things; none where they are not enabled.
func (a *app) edgeThings() []edgethings.Thing {
	if a.edges == nil {
		return nil
	}
	return a.edges.Things()
}

// edgeThingView is the answer of /api/v1/things/{name} for an edge thing.
type edgeThingView struct {
	edgethings.Thing
	Sources []string `json:"sources"` // where its agent is
}

func (s consoleSource) edgeThing(name string) (any, bool) {
	if s.app.edges == nil {
		return nil, false
	}
	t, ok := s.app.edges.Thing(name)
	if !ok {
		return nil, false
	}
	return edgeThingView{t, []string{t.Address}}, true
}

// callEdgeThing calls a service of an edge thing as the platform would; mine is
// false where the Thing is none.
func (s consoleSource) callEdgeThing(ctx context.Context, thing, service string, inputs *alwayson.InfoTable) (result any, err error, mine bool) {
	if s.app.edges == nil {
		return nil, nil, false
	}
	resp, mine := s.app.edges.Call(ctx, thing, service, inputs)
	switch {
	case !mine:
		return nil, nil, false
	case resp == nil:
		return nil, ctx.Err(), true
	case !resp.Code.IsSuccess():
		return nil, callFailure{&mapping.CallError{Code: resp.Code, Text: restjson.Reason(resp)}}, true
	}
	v := alwayson.Result(resp.Content, "result")
	if n := restjson.Length(v); n > restjson.MaxLength {
		return nil, callFailure{&mapping.CallError{Code: alwayson.EntityTooLarge, Text: fmt.Sprintf("the result is %d bytes of JSON; %d are shown at most", n, restjson.MaxLength)}}, true
	}
	return mapping.ToJSON(v), nil, true
}

// edgeRows shows how the edge things are.
func edgeRows(s *status, now time.Time) [][]string {
	if len(s.Edge) == 0 {
		return nil
	}
	text := counts(s.Edge)
	if text == "" {
		text = "none has registered at " + edgethings.LocalEMS
	}
	rows := [][]string{{"edge things", fmt.Sprint(sum(s.Edge)), text}}
	for _, r := range s.EdgeRefused {
		rows = append(rows, []string{"refused", r.Name, r.Reason + howOften(r.Count, ago(now, r.Last))})
	}
	return rows
}

// edgeRefusals lists registrations that were refused lately.
func (a *app) edgeRefusals() []edgethings.Refusal {
	if a.edges == nil {
		return nil
	}
	return a.edges.Refusals()
}

// edgeAgents counts the edge things by the state of their agents; nil where they are not enabled.
func (a *app) edgeAgents() map[string]int {
	if a.edges == nil {
		return nil
	}
	return a.edges.Agents()
}
