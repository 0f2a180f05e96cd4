package simulator

import (
	"errors"
	"sort"
	"strings"

	"thingbridge/edge/alwayson"
)

// serveResource carries out a service of EntityServices or SearchFunctions.
func (p *Platform) serveResource(method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	if method != alwayson.Post || req.Characteristic != alwayson.Services {
		respond(fail(alwayson.MethodNotAllowed, "%s on %s of resource [%s]", method, req.Characteristic, req.Entity))
		return
	}
	in := params{req.Params}
	var run func(params) *alwayson.Response
	switch req.Entity {
	case "EntityServices":
		switch req.Name {
		case "CreateThing":
			run = p.serviceCreateThing
		case "CloneThing":
			run = p.serviceCloneThing
		case "DeleteThing":
			run = p.serviceDeleteThing
		case "CreateDataShape":
			run = p.serviceCreateDataShape
		case "DeleteDataShape":
			run = p.serviceDeleteDataShape
		case "GetEntityList":
			run = p.serviceEntityList
		}
	case "SearchFunctions":
		if req.Name == "SearchModelEntities" {
			run = p.serviceSearch
		}
	default:
		respond(fail(alwayson.NotFound, "resource [%s] does not exist", req.Entity))
		return
	}
	if run == nil {
		respond(fail(alwayson.NotFound, "service [%s] does not exist on resource [%s]", req.Name, req.Entity))
		return
	}
	respond(run(in))
}

func (p *Platform) serviceCreateThing(in params) *alwayson.Response {
	name, tp := in.text("name"), in.text("thingTemplateName")
	if name == "" || tp == "" {
		return fail(alwayson.BadRequest, "CreateThing: name and thingTemplateName are required")
	}
	if _, err := p.createThing(name, in.text("description"), tp); err != nil {
		return fail(alwayson.InternalServerError, "create thing [%s]: %v", name, err)
	}
	p.log.Info("thing created", "thing", name, "template", tp)
	return done()
}

func (p *Platform) serviceCloneThing(in params) *alwayson.Response {
	name, source := in.text("name"), p.lookup(in.text("sourceThingName"))
	if source == nil {
		return fail(alwayson.NotFound, "clone thing: source thing [%s] does not exist", in.text("sourceThingName"))
	}
	t, err := p.createThing(name, in.text("description"), source.template)
	if err != nil {
		return fail(alwayson.InternalServerError, "clone thing [%s]: %v", name, err)
	}
	copyDefinitions(t, source, &p.opts)
	return done()
}

// copyDefinitions gives t what source defines, without its history.
func copyDefinitions(t, source *thing, o *Options) {
	source.mu.Lock()
	defer source.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range source.propOrder {
		from := source.props[name]
		pr := &property{
			def: from.def, fallback: from.fallback, logged: from.logged,
			known: from.known && from.binding == nil, value: from.value, stored: from.stored,
		}
		if from.binding != nil {
			b := *from.binding
			pr.binding = &b
		}
		t.addPropertyLocked(pr, o)
	}
	for _, name := range source.svcOrder {
		s := *source.services[name]
		t.addServiceLocked(&s)
	}
	for _, name := range source.eventOrder {
		e := *source.events[name]
		t.addEventLocked(&e)
	}
	t.valueStream = source.valueStream
}

func (p *Platform) serviceDeleteThing(in params) *alwayson.Response {
	name := in.text("name")
	switch err := p.deleteThing(name); {
	case errors.Is(err, errNoEntity):
		return fail(alwayson.NotFound, "thing [%s] does not exist", name)
	case err != nil:
		return fail(alwayson.Forbidden, "%v", err)
	}
	p.log.Info("thing deleted", "thing", name)
	return done()
}

func (p *Platform) serviceCreateDataShape(in params) *alwayson.Response {
	name := in.text("name")
	if err := checkName(name); err != nil {
		return fail(alwayson.BadRequest, "create data shape: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shapes[key(name)] != nil {
		return fail(alwayson.InternalServerError, "data shape [%s] already exists", name)
	}
	p.shapes[key(name)] = &shape{name: name, description: in.text("description"), fields: fieldsOf(in.table("fields"))}
	return done()
}

func (p *Platform) serviceDeleteDataShape(in params) *alwayson.Response {
	name := in.text("name")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shapes[key(name)] == nil {
		return fail(alwayson.NotFound, "data shape [%s] does not exist", name)
	}
	delete(p.shapes, key(name))
	return done()
}

// found is one entity that a search met.
type found struct{ name, description, kind string }

// serviceSearch lists Things, ThingTemplates and DataShapes whose names match.
func (p *Platform) serviceSearch(in params) *alwayson.Response {
	return p.search(in.text("searchExpression"), searchKinds(in), in.number("maxItems", 500))
}

// serviceEntityList lists the entities of one type whose names match a mask.
func (p *Platform) serviceEntityList(in params) *alwayson.Response {
	kind := in.text("type")
	if kind == "" {
		return fail(alwayson.BadRequest, "GetEntityList: type is required")
	}
	return p.search(in.text("nameMask"), map[string]bool{strings.ToLower(kind): true}, in.number("maxItems", 500))
}

func (p *Platform) search(expression string, kinds map[string]bool, limit float64) *alwayson.Response {
	var all []found
	add := func(kind, name, description string) {
		if (len(kinds) == 0 || kinds[strings.ToLower(kind)]) && matchesName(expression, name) {
			all = append(all, found{name, description, kind})
		}
	}
	p.mu.RLock()
	for _, t := range p.things {
		t.mu.Lock()
		description := t.description
		t.mu.Unlock()
		add("Thing", t.name, description)
	}
	for _, t := range p.templates {
		add("ThingTemplate", t.name, "")
	}
	for _, s := range p.shapes {
		add("DataShape", s.name, s.description)
	}
	p.mu.RUnlock()
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	table := columns("name", "description", "type", "parentName")
	for i, f := range all {
		if float64(i) >= limit {
			break
		}
		addRow(table, f.name, f.description, f.kind, f.kind+"s")
	}
	return result(alwayson.NewTable(table))
}

// searchKinds reads the input types: one name, a JSON object {"items": […]} or
// a table of names; empty means all kinds.
func searchKinds(in params) map[string]bool {
	kinds := map[string]bool{}
	v := in.get("types")
	if t := v.Table(); t != nil {
		for row := range t.Rows {
			kinds[strings.ToLower(t.At(row, 0).Unwrap().Text())] = true
		}
		return kinds
	}
	for _, word := range strings.FieldsFunc(v.Text(), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) {
		if word = strings.ToLower(word); word != "items" {
			kinds[word] = true
		}
	}
	return kinds
}

// matchesName matches a whole name without case; * and % stand for any text.
// An empty expression matches all.
func matchesName(expression, name string) bool {
	if expression == "" {
		return true
	}
	const end = "\x00" // makes the last part match at the end only
	wild := func(r rune) bool { return r == '*' || r == '%' }
	parts := strings.FieldsFunc(strings.ToLower(expression)+end, wild)
	name = strings.ToLower(name) + end
	for i, part := range parts {
		at := strings.Index(name, part)
		if at < 0 || i == 0 && at > 0 && !wild(rune(expression[0])) {
			return false
		}
		name = name[at+len(part):]
	}
	return true
}
