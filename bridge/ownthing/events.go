package ownthing

import (
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// GetStatus is the service of the bridge's own Thing.
const GetStatus = "GetStatus"

func (s *Self) mine(name string) bool { return name != "" && strings.EqualFold(name, s.name()) }

// PlatformDown implements bridge.PlatformEvents.
func (s *Self) PlatformDown(session uint64, err error) {
	s.forget()
	s.PlatformEvents.PlatformDown(session, err)
}

// forget drops the subscriptions: the platform tells them again.
func (s *Self) forget() {
	s.mu.Lock()
	s.filters = nil
	s.mu.Unlock()
}

// BindChanged implements bridge.PlatformEvents.
func (s *Self) BindChanged(name string, state alwayson.BindState, reason string) {
	if !s.mine(name) {
		s.PlatformEvents.BindChanged(name, state, reason)
		return
	}
	switch state {
	case alwayson.Bound:
		s.opt.Logger.Info("the bridge's own thing is bound", "thing", name)
	case alwayson.Refused:
		s.forget()
		s.opt.Logger.Warn("the platform refuses to bind the bridge's own thing", "thing", name, "reason", reason)
	default:
		s.forget()
	}
}

// Subscribed implements bridge.PlatformEvents.
func (s *Self) Subscribed(name string, subs []alwayson.Subscription) {
	if !s.mine(name) {
		s.PlatformEvents.Subscribed(name, subs)
		return
	}
	filters := make(map[string]*property, len(subs))
	s.mu.Lock()
	for _, sub := range subs {
		p := s.filters[sub.EdgeName]
		if p == nil {
			p = &property{}
		}
		p.sub, filters[sub.EdgeName] = sub, p
	}
	s.filters = filters
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// CurrentValues implements bridge.PlatformEvents.
func (s *Self) CurrentValues(name string) []alwayson.PropertyValue {
	if !s.mine(name) {
		return s.PlatformEvents.CurrentValues(name)
	}
	now := time.Now().UnixMilli()
	var vals []alwayson.PropertyValue
	for _, f := range s.known() {
		vals = append(vals, alwayson.PropertyValue{Name: f.Name, Value: f.Value, Time: now, Quality: alwayson.QualityGood})
	}
	return vals
}

// Request implements bridge.PlatformEvents.
func (s *Self) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	if !s.mine(name) {
		s.PlatformEvents.Request(name, method, req, respond)
		return
	}
	switch {
	case req.Characteristic == alwayson.Properties && method == alwayson.Get:
		respond(s.read(req.Name))
	case req.Characteristic == alwayson.Properties:
		respond(alwayson.Fail(alwayson.MethodNotAllowed, "the properties of the bridge's own thing are read only"))
	case req.Characteristic != alwayson.Services || method != alwayson.Post:
		respond(alwayson.Fail(alwayson.MethodNotAllowed, "the bridge's own thing has properties to GET and services to POST"))
	case req.Name == "GetMetadata":
		respond(jsonResult(s.metadata().JSON()))
	case req.Name == GetStatus:
		respond(jsonResult(s.opt.Status()))
	default:
		respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("the bridge's own thing %q has no service %q; it has %s", s.name(), req.Name, GetStatus)))
	}
}

func jsonResult(text []byte) *alwayson.Response {
	return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewText(alwayson.TypeJSON, string(text)))))
}

// read serves one property, or all with no name or *.
func (s *Self) read(name string) *alwayson.Response {
	var row []alwayson.Named
	for _, f := range s.known() {
		if name == "" || name == "*" || name == f.Name {
			row = append(row, alwayson.Named{Name: f.Name, Value: f.Value})
		}
	}
	if len(row) == 0 {
		return alwayson.Fail(alwayson.NotFound, fmt.Sprintf("the bridge's own thing %q has no property %q", s.name(), name))
	}
	return alwayson.OK(alwayson.NewTable(alwayson.OneRow(row...)))
}

func (s *Self) metadata() *alwayson.Metadata {
	m := &alwayson.Metadata{Name: s.name(), Description: s.opt.Description}
	for _, f := range s.known() {
		m.Properties = append(m.Properties, alwayson.PropertyDefinition{
			FieldDefinition: alwayson.FieldDefinition{Name: f.Name, Description: f.Description, Type: f.Value.Type()},
			ReadOnly:        true, Unit: f.Unit,
		})
	}
	m.Services = []alwayson.ServiceDefinition{{Name: GetStatus,
		Description: "how the bridge is: both connections, the Things by state, what waits, what goes wrong",
		Output:      alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeJSON}}}
	return m
}
