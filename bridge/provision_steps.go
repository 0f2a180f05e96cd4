package bridge

import (
	"slices"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

type stepKind uint8

const (
	stepAsk stepKind = iota
	stepCreate
	stepEnable
	stepRestart
	stepDefine
)

// provisionStep is one request on the way to a Thing that the bridge can serve.
type provisionStep struct {
	kind    stepKind
	what    string // for people
	req     *alwayson.Request
	instead *provisionStep // when this one fails
}

// provisionSteps lists what makes the Thing as its device declares it: created,
// enabled, and each declared property and service bound to the device's.
func (b *Bridge) provisionSteps(t *thing) []provisionStep {
	b.mu.Lock()
	d := t.device
	b.mu.Unlock()
	defs := d.Definitions
	if defs == nil {
		defs = &mapping.Definitions{}
	}
	template := defs.Template
	if template == "" {
		template = b.inForce().provision.Template
	}
	on := func(kind stepKind, what, service string, cells ...alwayson.Named) provisionStep {
		return provisionStep{kind: kind, what: what, req: alwayson.ServiceRequest(alwayson.EntityThing, d.Thing, service, alwayson.OneRow(cells...))}
	}
	steps := []provisionStep{
		{kind: stepAsk, what: "ask for the thing", req: alwayson.SubscriptionsRequest(d.Thing)},
		{kind: stepCreate, what: "create the thing", req: alwayson.ServiceRequest(alwayson.EntityResource, "EntityServices", "CreateThing",
			alwayson.OneRow(text("name", d.Thing), text("description", defs.Description), text("thingTemplateName", template)))},
		on(stepEnable, "enable the thing", "EnableThing"),
		on(stepRestart, "restart the thing", "RestartThing"),
	}
	if defs.Identifier != "" {
		steps = append(steps, on(stepDefine, "set its identifier", "SetIdentifier", text("identifier", defs.Identifier)))
	}
	for _, name := range sortedNames(defs.Properties) {
		p := defs.Properties[name]
		bind := on(stepDefine, "bind property "+name, "SetRemotePropertyBinding", text("propertyName", name), text("sourcePropertyName", name),
			text("pushType", p.Push.String()), number("pushThreshold", p.Threshold), number("cacheTime", -1), number("timeout", 0), text("foldType", "NONE"))
		add := on(stepDefine, "add property "+name, "AddPropertyDefinition", propertyCells(name, p)...)
		add.instead = &bind
		steps = append(steps, add)
	}
	for _, name := range sortedNames(defs.Services) {
		if b.inForce().services.permits(name) {
			steps = append(steps, on(stepDefine, "bind service "+name, "SetRemoteServiceBinding", text("serviceName", name), text("sourceServiceName", name)))
		}
	}
	if len(defs.Properties)+len(defs.Services) > 0 || defs.Identifier != "" {
		steps = append(steps, on(stepRestart, "restart the thing", "RestartThing"))
	}
	return steps
}

func propertyCells(name string, p *mapping.Property) []alwayson.Named {
	cells := []alwayson.Named{
		text("name", name), text("type", p.Type.String()), text("description", p.Description),
		{Name: "readOnly", Value: alwayson.NewBoolean(!p.Writable)}, {Name: "remote", Value: alwayson.NewBoolean(true)},
		text("remotePropertyName", name), text("pushType", p.Push.String()), number("pushThreshold", p.Threshold),
	}
	if p.DataShape != "" {
		cells = append(cells, text("dataShape", p.DataShape))
	}
	if p.Unit != "" {
		cells = append(cells, text("units", p.Unit))
	}
	return cells
}

func text(name, s string) alwayson.Named {
	return alwayson.Named{Name: name, Value: alwayson.NewString(s)}
}

func number(name string, f float64) alwayson.Named {
	return alwayson.Named{Name: name, Value: alwayson.NewNumber(f)}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
