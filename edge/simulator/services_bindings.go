package simulator

import (
	"encoding/json"

	"thingbridge/edge/alwayson"
)

// bindingOf reads a property binding from a service's inputs.
func (c *serviceCall) bindingOf(edgeName string) *propertyBinding {
	push, known := alwayson.ParsePushType(c.in.text("pushType"))
	if !known {
		push = alwayson.PushValue
	}
	fold := c.in.text("foldType")
	if fold == "" {
		fold = "NONE"
	}
	return &propertyBinding{
		edgeName: edgeName, push: push, threshold: c.in.number("pushThreshold", 0),
		cacheTime: int64(c.in.number("cacheTime", -1)), timeout: int64(c.in.number("timeout", 0)),
		foldType: fold, startType: c.startType(),
	}
}

// startType stands among the aspects of a binding.
func (c *serviceCall) startType() string {
	var aspects struct {
		StartType string `json:"startType"`
	}
	if json.Unmarshal([]byte(c.in.get("aspects").Text()), &aspects) != nil {
		return ""
	}
	return aspects.StartType
}

func (c *serviceCall) setPropertyBinding() *alwayson.Response {
	name, edgeName := c.in.text("propertyName"), c.in.text("sourcePropertyName")
	if edgeName == "" {
		edgeName = name
	}
	if !c.t.remote {
		return fail(alwayson.InternalServerError, "%s [%s]: thing [%s] is no remote thing", c.name, name, c.t.name)
	}
	c.t.mu.Lock()
	pr := c.t.props[name]
	if pr != nil {
		pr.binding = c.bindingOf(edgeName)
		c.t.indexLocked()
	}
	c.t.mu.Unlock()
	if pr == nil {
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	c.p.resync(c.t)
	return done()
}

func (c *serviceCall) getPropertyBinding() *alwayson.Response {
	name := c.in.text("propertyName")
	table := columns("propertyName", "sourcePropertyName", "pushType", "pushThreshold:NUMBER", "cacheTime:NUMBER", "timeout:NUMBER", "foldType")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	pr := c.t.props[name]
	if pr == nil {
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	if b := pr.binding; b != nil {
		addRow(table, name, b.edgeName, b.push.String(), b.threshold, float64(b.cacheTime), float64(b.timeout), b.foldType)
	}
	return result(alwayson.NewTable(table))
}

func (c *serviceCall) removePropertyBinding() *alwayson.Response {
	name := c.in.text("propertyName")
	c.t.mu.Lock()
	pr := c.t.props[name]
	had := pr != nil && pr.binding != nil
	if had {
		pr.binding = nil
		c.t.indexLocked()
	}
	c.t.mu.Unlock()
	if pr == nil {
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	if had {
		c.p.resync(c.t)
	}
	return done()
}

// setServiceBinding makes a service remote; one that is not defined yet gets an
// open definition.
func (c *serviceCall) setServiceBinding() *alwayson.Response {
	name, edgeName := c.in.text("serviceName"), c.in.text("sourceServiceName")
	if name == "" {
		return fail(alwayson.BadRequest, "%s: serviceName is required", c.name)
	}
	if !c.t.remote {
		return fail(alwayson.InternalServerError, "%s [%s]: thing [%s] is no remote thing", c.name, name, c.t.name)
	}
	if edgeName == "" {
		edgeName = name
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	s := &service{def: alwayson.ServiceDefinition{Name: name, Output: alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeNothing}}}
	if old := c.t.services[name]; old != nil {
		s.def = old.def
	}
	s.remote, s.edgeName = true, edgeName
	c.t.addServiceLocked(s)
	return done()
}

func (c *serviceCall) getServiceBinding() *alwayson.Response {
	name := c.in.text("serviceName")
	table := columns("serviceName", "sourceServiceName")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if s := c.t.services[name]; s != nil && s.remote {
		addRow(table, name, s.edgeName)
	}
	return result(alwayson.NewTable(table))
}

func (c *serviceCall) removeServiceBinding() *alwayson.Response {
	name := c.in.text("serviceName")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	s := c.t.services[name]
	if s == nil {
		return fail(alwayson.NotFound, "service [%s] does not exist on thing [%s]", name, c.t.name)
	}
	s.remote, s.edgeName = false, ""
	return done()
}

// getSubscriptions serves GetPropertySubscriptions. The edge that bound the
// Thing opens the gate for its pushes by asking. An invented Thing has no answer
// until its definitions are there: an empty one would cost the edge its values.
func (c *serviceCall) getSubscriptions() *alwayson.Response {
	var options struct {
		HasDeadband bool `json:"hasDeadband"`
	}
	if text := c.in.get("options").Text(); text != "" && json.Unmarshal([]byte(text), &options) != nil {
		return fail(alwayson.BadRequest, "%s: options is no JSON object", c.name)
	}
	if c.t.auto.Load() && !c.t.asked.Load() {
		return fail(alwayson.ServiceUnavailable, "thing [%s] is starting: its definitions are being asked for", c.t.name)
	}
	if ep := c.t.bound(); ep != nil && ep.c == c.from {
		ep.open.Store(true)
	}
	table := columns("edgeName", "pushType", "pushThreshold:NUMBER")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, name := range c.t.propOrder {
		b := c.t.props[name].binding
		if b == nil {
			continue
		}
		push := b.push
		if push == alwayson.PushDeadband && !options.HasDeadband {
			push = alwayson.PushValue // the caller does not know DEADBAND
		}
		addRow(table, b.edgeName, push.String(), b.threshold)
	}
	return result(alwayson.NewTable(table))
}
