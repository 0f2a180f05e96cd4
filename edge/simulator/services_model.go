package simulator

import (
	"sort"

	"thingbridge/edge/alwayson"
)

// serveModel carries out a service of a DataShape or a ThingTemplate.
func (p *Platform) serveModel(method alwayson.Code, req *alwayson.Request) *alwayson.Response {
	if method != alwayson.Post || req.Characteristic != alwayson.Services {
		return fail(alwayson.MethodNotAllowed, "%s on %s of %s [%s]", method, req.Characteristic, req.EntityType, req.Entity)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, t := p.shapes[key(req.Entity)], p.templates[key(req.Entity)]
	switch {
	case req.EntityType == alwayson.EntityDataShape && s == nil || req.EntityType == alwayson.EntityThingTemplate && t == nil:
		return fail(alwayson.NotFound, "%s [%s] does not exist", req.EntityType, req.Entity)
	case req.EntityType == alwayson.EntityDataShape && req.Name == "GetFieldDefinitions":
		return s.fieldDefinitions()
	case req.EntityType == alwayson.EntityThingTemplate && req.Name == "GetImplementingThings":
		return p.implementingLocked(t.name)
	}
	return fail(alwayson.NotFound, "service [%s] does not exist on %s [%s]", req.Name, req.EntityType, req.Entity)
}

func (s *shape) fieldDefinitions() *alwayson.Response {
	table := columns("name", "description", "baseType:BASETYPENAME", "ordinal:INTEGER")
	for i, f := range s.fields {
		addRow(table, f.Name, f.Description, f.Type.String(), alwayson.NewInteger(int32(i)))
	}
	return result(alwayson.NewTable(table))
}

// implementingLocked lists the Things of a template or of one that extends it.
func (p *Platform) implementingLocked(name string) *alwayson.Response {
	var things []*thing
	for _, t := range p.things {
		if p.extendsLocked(t.template, name) {
			things = append(things, t)
		}
	}
	sort.Slice(things, func(i, j int) bool { return things[i].name < things[j].name })
	table := columns("name", "description", "thingTemplate:THINGTEMPLATENAME")
	for _, t := range things {
		t.mu.Lock()
		description := t.description
		t.mu.Unlock()
		addRow(table, t.name, description, t.template)
	}
	return result(alwayson.NewTable(table))
}
