package simulator

import (
	"strings"

	"thingbridge/edge/alwayson"
)

// serviceCall is one call of a platform service on a Thing.
type serviceCall struct {
	p       *Platform
	from    *conn // nil: REST or the program itself
	t       *thing
	name    string
	in      params
	respond func(*alwayson.Response)
}

// thingServices are the platform's own services of a Thing that answer at once.
var thingServices = map[string]func(*serviceCall) *alwayson.Response{
	"EnableThing":                 (*serviceCall).enable,
	"DisableThing":                (*serviceCall).disable,
	"RestartThing":                (*serviceCall).restart,
	"SetDescription":              (*serviceCall).setDescription,
	"SetIdentifier":               (*serviceCall).setIdentifier,
	"GetIdentifier":               (*serviceCall).getIdentifier,
	"SetValueStream":              (*serviceCall).setValueStream,
	"GetValueStream":              (*serviceCall).getValueStream,
	"AddPropertyDefinition":       (*serviceCall).addProperty,
	"UpdatePropertyDefinition":    (*serviceCall).updateProperty,
	"RemovePropertyDefinition":    (*serviceCall).removeProperty,
	"GetPropertyDefinitions":      (*serviceCall).getProperties,
	"AddServiceDefinition":        (*serviceCall).addService,
	"RemoveServiceDefinition":     (*serviceCall).removeService,
	"GetServiceDefinitions":       (*serviceCall).getServices,
	"AddEventDefinition":          (*serviceCall).addEvent,
	"RemoveEventDefinition":       (*serviceCall).removeEvent,
	"GetEventDefinitions":         (*serviceCall).getEvents,
	"SetRemotePropertyBinding":    (*serviceCall).setPropertyBinding,
	"GetRemotePropertyBinding":    (*serviceCall).getPropertyBinding,
	"RemoveRemotePropertyBinding": (*serviceCall).removePropertyBinding,
	"SetRemoteServiceBinding":     (*serviceCall).setServiceBinding,
	"GetRemoteServiceBinding":     (*serviceCall).getServiceBinding,
	"RemoveRemoteServiceBinding":  (*serviceCall).removeServiceBinding,
	"GetPropertySubscriptions":    (*serviceCall).getSubscriptions,
	"GetPropertyValues":           (*serviceCall).getValues,
	"GetPropertyValuesVTQ":        (*serviceCall).getValuesVTQ,
	"QueryPropertyHistory":        (*serviceCall).queryAllHistory,
	"PurgeAllPropertyHistory":     (*serviceCall).purgeAllHistory,
	"PurgePropertyHistory":        (*serviceCall).purgeHistory,
}

// thingService finds the platform's own service of a name; nil if it has none.
func thingService(name string) func(*serviceCall) {
	if run := thingServices[name]; run != nil {
		return func(c *serviceCall) { c.respond(run(c)) }
	}
	switch name {
	case "SetPropertyValues":
		return (*serviceCall).setValues
	case "GetRemoteMetadata":
		return (*serviceCall).getRemoteMetadata
	}
	if t, yes := between(name, "Get", "PropertyValue"); yes {
		return func(c *serviceCall) { c.getValue(t) }
	}
	if t, yes := between(name, "Query", "PropertyHistory"); yes {
		return func(c *serviceCall) { c.respond(c.queryHistory(t)) }
	}
	return nil
}

// between reads the base type out of a name such as GetNumberPropertyValue.
func between(name, before, behind string) (alwayson.BaseType, bool) {
	name, a := strings.CutPrefix(name, before)
	name, b := strings.CutSuffix(name, behind)
	if !a || !b {
		return 0, false
	}
	return alwayson.ParseBaseType(name)
}

func done() *alwayson.Response { return ok(alwayson.Value{}) }

// enable starts a Thing: a bound name that waits for it is claimed.
func (c *serviceCall) enable() *alwayson.Response {
	c.t.mu.Lock()
	was := c.t.enabled
	c.t.enabled = true
	c.t.mu.Unlock()
	if !was {
		c.p.reclaim(c.t)
	}
	return done()
}

// disable stops a Thing: its binding becomes unclaimed.
func (c *serviceCall) disable() *alwayson.Response {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.t.mu.Lock()
	c.t.enabled = false
	c.t.mu.Unlock()
	if ep := c.t.claim.Swap(nil); ep != nil {
		ep.thing.Store(nil)
	}
	return done()
}

// restart synchronises a Thing anew.
func (c *serviceCall) restart() *alwayson.Response {
	c.t.mu.Lock()
	enabled := c.t.enabled
	c.t.mu.Unlock()
	if !enabled {
		return fail(alwayson.InternalServerError, "thing [%s] is not enabled", c.t.name)
	}
	c.p.reclaim(c.t)
	return done()
}

func (c *serviceCall) setDescription() *alwayson.Response {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.description = c.in.text("description")
	return done()
}

func (c *serviceCall) setIdentifier() *alwayson.Response {
	if !c.t.remote {
		return fail(alwayson.NotFound, "service [%s] does not exist on thing [%s]", c.name, c.t.name)
	}
	if err := c.p.setIdentifier(c.t, c.in.text("identifier")); err != nil {
		return fail(alwayson.InternalServerError, "%v", err)
	}
	return done()
}

func (c *serviceCall) getIdentifier() *alwayson.Response {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return result(alwayson.NewString(c.t.identifier))
}

// setValueStream names the Thing that keeps the history. History is kept
// without one, too; the name must be an existing Thing's, as on a platform.
func (c *serviceCall) setValueStream() *alwayson.Response {
	name := c.in.text("name")
	if name != "" && c.p.lookup(name) == nil {
		return fail(alwayson.InternalServerError, "value stream [%s] does not exist", name)
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.valueStream = name
	return done()
}

func (c *serviceCall) getValueStream() *alwayson.Response {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return result(alwayson.NewText(alwayson.TypeThingName, c.t.valueStream))
}

// getRemoteMetadata asks the edge for its definitions.
func (c *serviceCall) getRemoteMetadata() {
	ep := c.t.bound()
	if ep == nil {
		c.respond(fail(alwayson.ServiceUnavailable, "thing [%s] is not connected", c.t.name))
		return
	}
	req := alwayson.ServiceRequest(alwayson.EntityThing, ep.name, "GetMetadata", nil)
	ep.c.request(alwayson.Post, req, c.respond)
}
