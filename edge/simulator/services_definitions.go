package simulator

import (
	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// addProperty serves AddPropertyDefinition.
func (c *serviceCall) addProperty() *alwayson.Response { return c.putProperty(false) }

// updateProperty serves UpdatePropertyDefinition.
func (c *serviceCall) updateProperty() *alwayson.Response { return c.putProperty(true) }

func (c *serviceCall) putProperty(update bool) *alwayson.Response {
	name, typeName := c.in.text("name"), c.in.text("type")
	base, known := alwayson.ParseBaseType(typeName)
	switch {
	case name == "":
		return fail(alwayson.BadRequest, "%s: name is required", c.name)
	case !known || base == alwayson.TypeNothing:
		return fail(alwayson.BadRequest, "%s [%s]: unknown base type [%s]", c.name, name, typeName)
	case c.in.boolean("remote", false) && !c.t.remote:
		return fail(alwayson.InternalServerError, "%s [%s]: thing [%s] is no remote thing", c.name, name, c.t.name)
	}
	shape := c.in.text("dataShape")
	pr := &property{
		def: alwayson.PropertyDefinition{
			FieldDefinition: alwayson.FieldDefinition{
				Name: name, Description: c.in.text("description"), Type: base, DataShape: shape, Fields: c.p.shapeFields(shape),
			},
			ReadOnly: c.in.boolean("readOnly", false),
		},
		logged: c.in.boolean("logged", false),
	}
	if v, fits := restjson.Coerce(c.in.get("defaultValue"), base); fits {
		pr.fallback = own(v)
	}
	if c.in.boolean("remote", false) {
		edgeName := c.in.text("remotePropertyName")
		if edgeName == "" {
			edgeName = name
		}
		pr.binding = c.bindingOf(edgeName)
	}
	c.t.mu.Lock()
	_, isSystem := c.t.systemValueLocked(name)
	if old := c.t.props[name]; isSystem || old != nil && !update || old == nil && update {
		c.t.mu.Unlock()
		if old == nil && !isSystem {
			return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
		}
		return fail(alwayson.InternalServerError, "property [%s] already exists on thing [%s]", name, c.t.name)
	}
	c.t.addPropertyLocked(pr, &c.p.opts)
	c.t.mu.Unlock()
	if pr.binding != nil {
		c.p.resync(c.t)
	}
	return done()
}

// shapeFields gives the fields of a data shape; none if it does not exist.
func (p *Platform) shapeFields(name string) []alwayson.FieldDefinition {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if s := p.shapes[key(name)]; s != nil {
		return s.fields
	}
	return nil
}

func (c *serviceCall) removeProperty() *alwayson.Response {
	name := c.in.text("name")
	if name == "" {
		name = c.in.text("propertyName")
	}
	c.t.mu.Lock()
	pr := c.t.props[name]
	if pr != nil {
		c.t.removePropertyLocked(name)
	}
	c.t.mu.Unlock()
	if pr == nil {
		return fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, c.t.name)
	}
	if pr.binding != nil {
		c.p.resync(c.t)
	}
	return done()
}

func (c *serviceCall) getProperties() *alwayson.Response {
	table := columns("name", "description", "baseType:BASETYPENAME", "isReadOnly:BOOLEAN", "isLogged:BOOLEAN", "isRemote:BOOLEAN",
		"remotePropertyName", "pushType", "pushThreshold:NUMBER", "dataShape:DATASHAPENAME", "defaultValue:VARIANT", "ordinal:NUMBER")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for i, name := range c.t.propOrder {
		pr := c.t.props[name]
		edgeName, push, threshold := "", "", 0.0
		if b := pr.binding; b != nil {
			edgeName, push, threshold = b.edgeName, b.push.String(), b.threshold
		}
		addRow(table, name, pr.def.Description, pr.def.Type.String(), pr.def.ReadOnly, pr.logged, pr.binding != nil,
			edgeName, push, threshold, pr.def.DataShape, pr.fallback, float64(i))
	}
	return result(alwayson.NewTable(table))
}

// addService serves AddServiceDefinition: of a remote service, or of a local
// one, which has no implementation here.
func (c *serviceCall) addService() *alwayson.Response {
	name := c.in.text("name")
	if name == "" {
		return fail(alwayson.BadRequest, "%s: name is required", c.name)
	}
	def := alwayson.ServiceDefinition{
		Name: name, Description: c.in.text("description"), Inputs: fieldsOf(c.in.table("parameters")),
		Output: alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeNothing},
	}
	if out := fieldsOf(c.in.table("resultType")); len(out) > 0 {
		def.Output = out[0]
	}
	for i, f := range def.Inputs {
		def.Inputs[i].Fields = c.p.shapeFields(f.DataShape)
	}
	s := &service{def: def, remote: c.in.boolean("remote", false)}
	if s.remote {
		if s.edgeName = c.in.text("remoteServiceName"); s.edgeName == "" {
			s.edgeName = name
		}
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.services[name] != nil {
		return fail(alwayson.InternalServerError, "service [%s] already exists on thing [%s]", name, c.t.name)
	}
	c.t.addServiceLocked(s)
	return done()
}

func (c *serviceCall) removeService() *alwayson.Response {
	name := c.in.text("name")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.services[name] == nil {
		return fail(alwayson.NotFound, "service [%s] does not exist on thing [%s]", name, c.t.name)
	}
	delete(c.t.services, name)
	c.t.svcOrder = without(c.t.svcOrder, name)
	return done()
}

func (c *serviceCall) getServices() *alwayson.Response {
	table := columns("name", "description", "isRemote:BOOLEAN", "remoteServiceName", "resultType:BASETYPENAME", "parameters:INFOTABLE")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, name := range c.t.svcOrder {
		s := c.t.services[name]
		addRow(table, name, s.def.Description, s.remote, s.edgeName, s.def.Output.Type.String(), alwayson.NewTable(fieldTable(s.def.Inputs)))
	}
	return result(alwayson.NewTable(table))
}

// fieldTable shows field definitions as a table.
func fieldTable(fields []alwayson.FieldDefinition) *alwayson.InfoTable {
	table := columns("name", "description", "baseType:BASETYPENAME", "dataShape:DATASHAPENAME", "ordinal:NUMBER")
	for i, f := range fields {
		addRow(table, f.Name, f.Description, f.Type.String(), f.DataShape, float64(i))
	}
	return table
}

func (c *serviceCall) addEvent() *alwayson.Response {
	name, shape := c.in.text("name"), c.in.text("dataShape")
	if name == "" {
		return fail(alwayson.BadRequest, "%s: name is required", c.name)
	}
	e := &event{
		def:    alwayson.EventDefinition{Name: name, Description: c.in.text("description"), DataShape: shape, Fields: c.p.shapeFields(shape)},
		remote: c.in.boolean("remote", false),
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.events[name] != nil {
		return fail(alwayson.InternalServerError, "event [%s] already exists on thing [%s]", name, c.t.name)
	}
	c.t.addEventLocked(e)
	return done()
}

func (c *serviceCall) removeEvent() *alwayson.Response {
	name := c.in.text("name")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.t.events[name] == nil {
		return fail(alwayson.NotFound, "event [%s] does not exist on thing [%s]", name, c.t.name)
	}
	delete(c.t.events, name)
	c.t.eventOrder = without(c.t.eventOrder, name)
	return done()
}

func (c *serviceCall) getEvents() *alwayson.Response {
	table := columns("name", "description", "dataShape:DATASHAPENAME", "isRemote:BOOLEAN")
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for _, name := range c.t.eventOrder {
		e := c.t.events[name]
		addRow(table, name, e.def.Description, e.def.DataShape, e.remote)
	}
	return result(alwayson.NewTable(table))
}
