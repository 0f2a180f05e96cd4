package simulator

import (
	"encoding/json"
	"slices"
	"sort"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// systemProperties are those of alwayson.SystemProperty; from isConnected on only
// remote Things have them.
var systemProperties = []string{
	"name", "description", "thingTemplate", "tags",
	"isConnected", "lastConnection", "isReporting", "reportingLastChange", "reportingLastEvaluation",
}

// systemValue reads a system property; false: t has none of that name.
func (t *thing) systemValueLocked(name string) (alwayson.Value, bool) {
	switch name {
	case "name":
		return alwayson.NewString(t.name), true
	case "description":
		return alwayson.NewString(t.description), true
	case "thingTemplate":
		return alwayson.NewText(alwayson.TypeThingTemplateName, t.template), true
	case "tags":
		return alwayson.NewText(alwayson.TypeTags, ""), true
	}
	if !t.remote {
		return alwayson.Value{}, false
	}
	switch name {
	case "isConnected", "isReporting":
		return alwayson.NewBoolean(t.bound() != nil), true
	case "lastConnection", "reportingLastChange", "reportingLastEvaluation":
		return alwayson.NewDateTime(t.lastMillisLocked()), true
	}
	return alwayson.Value{}, false
}

func (t *thing) lastMillisLocked() int64 {
	if t.lastConn.IsZero() {
		return 0
	}
	return t.lastConn.UnixMilli()
}

// readProperty answers a read: of one property, or of all with "" or "*". Reads
// that must go to the edge do; see the package comment.
func (p *Platform) readProperty(t *thing, name string, respond func(*alwayson.Response)) {
	if name == "" || name == "*" {
		respond(ok(alwayson.NewTable(t.allValues())))
		return
	}
	t.mu.Lock()
	if v, isSystem := t.systemValueLocked(name); isSystem {
		t.mu.Unlock()
		respond(propertyAnswer(name, v, v.Type()))
		return
	}
	pr := t.props[name]
	if pr == nil {
		t.mu.Unlock()
		respond(fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, t.name))
		return
	}
	stored, base, ask := pr.readLocked(), pr.def.Type, pr.staleLocked(time.Now())
	edgeName := ""
	if pr.binding != nil {
		edgeName = pr.binding.edgeName
	}
	t.mu.Unlock()
	ep := t.bound()
	if !ask || ep == nil {
		respond(propertyAnswer(name, stored, base))
		return
	}
	req := alwayson.PropertyRequest(alwayson.EntityThing, ep.name, edgeName, nil)
	ep.c.request(alwayson.Get, req, func(resp *alwayson.Response) {
		if !resp.Code.IsSuccess() {
			respond(resp)
			return
		}
		v := alwayson.PropertyValue{
			Value: own(alwayson.Result(resp.Content, edgeName).Unwrap()), Time: time.Now().UnixMilli(), Quality: alwayson.QualityGood,
		}
		t.mu.Lock()
		v, fits := pr.accept(v)
		if fits {
			pr.known, pr.value, pr.stored = true, v, time.Now()
		}
		t.mu.Unlock()
		respond(propertyAnswer(name, v.Value, base))
	})
}

// staleLocked says whether a read must ask the edge.
func (p *property) staleLocked(now time.Time) bool {
	if p.binding == nil {
		return false
	}
	cache := p.binding.cacheTime
	return !p.known || cache == 0 || cache > 0 && now.Sub(p.stored) > time.Duration(cache)*time.Millisecond
}

// propertyAnswer is the answer to a read of one property of a base type.
func propertyAnswer(name string, v alwayson.Value, base alwayson.BaseType) *alwayson.Response {
	return ok(alwayson.NewTable(&alwayson.InfoTable{
		Fields: []alwayson.Field{{Name: name, Type: base}},
		Rows:   [][]alwayson.Value{{v}},
	}))
}

// allValues gives the stored values of all properties, system ones first.
func (t *thing) allValues() *alwayson.InfoTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := &alwayson.InfoTable{}
	var row []alwayson.Value
	for _, name := range systemProperties {
		if v, has := t.systemValueLocked(name); has {
			table.Fields = append(table.Fields, alwayson.Field{Name: name, Type: v.Type()})
			row = append(row, v)
		}
	}
	for _, name := range t.propOrder {
		pr := t.props[name]
		table.Fields = append(table.Fields, alwayson.Field{Name: name, Description: pr.def.Description, Type: pr.def.Type})
		row = append(row, pr.readLocked())
	}
	table.Rows = [][]alwayson.Value{row}
	return table
}

// write is one property to write.
type write struct {
	name  string
	value alwayson.Value
}

// writeProperties carries out a PUT of one property, of several ("*" or "",
// one field each), or of values whose type the caller did not know (_content_).
// What the edge serves is sent to it first, one property after the other; the
// first error ends it.
func (p *Platform) writeProperties(from *conn, t *thing, req *alwayson.Request, respond func(*alwayson.Response)) {
	writes, problem := t.writesOf(req)
	if problem != nil {
		respond(problem)
		return
	}
	p.writeAll(from, t, writes, respond)
}

func (p *Platform) writeAll(from *conn, t *thing, writes []write, respond func(*alwayson.Response)) {
	ep := t.bound()
	own := ep != nil && from != nil && ep.c == from
	var remote []write
	now := time.Now()
	t.mu.Lock()
	for _, w := range writes {
		if pr := t.props[w.name]; pr != nil && pr.binding != nil && !own {
			remote = append(remote, write{pr.binding.edgeName, w.value})
		}
	}
	if len(remote) > 0 && ep == nil {
		t.mu.Unlock()
		respond(fail(alwayson.ServiceUnavailable, "thing [%s] is not connected", t.name))
		return
	}
	for _, w := range writes {
		if pr := t.props[w.name]; pr != nil && (pr.binding == nil || own) {
			pr.storeLocked(alwayson.PropertyValue{Name: w.name, Value: w.value, Time: now.UnixMilli(), Quality: alwayson.QualityGood}, now)
		}
	}
	t.mu.Unlock()
	forward(ep, remote, respond)
}

// forward sends writes to the edge, one after the other.
func forward(ep *endpoint, writes []write, respond func(*alwayson.Response)) {
	if len(writes) == 0 {
		respond(ok(alwayson.Value{}))
		return
	}
	w := writes[0]
	row := alwayson.OneRow(alwayson.Named{Name: w.name, Value: w.value})
	req := alwayson.PropertyRequest(alwayson.EntityThing, ep.name, w.name, row)
	ep.c.request(alwayson.Put, req, func(resp *alwayson.Response) {
		if !resp.Code.IsSuccess() {
			respond(resp)
			return
		}
		forward(ep, writes[1:], respond)
	})
}

// writesOf reads what a PUT writes, converted to the properties' types.
func (t *thing) writesOf(req *alwayson.Request) ([]write, *alwayson.Response) {
	if req.Params == nil || len(req.Params.Rows) == 0 {
		return nil, fail(alwayson.BadRequest, "write to thing [%s]: no value given", t.name)
	}
	given := map[string]alwayson.Value{}
	raw := map[string]json.RawMessage{}
	for i, f := range req.Params.Fields {
		v := req.Params.At(0, i).Unwrap()
		if f.Name == "_content_" {
			if json.Unmarshal([]byte(v.Text()), &raw) != nil {
				return nil, fail(alwayson.BadRequest, "write to thing [%s]: _content_ is no JSON object", t.name)
			}
			continue
		}
		given[f.Name] = v
	}
	single := req.Name != "" && req.Name != "*"
	t.mu.Lock()
	defer t.mu.Unlock()
	var writes []write
	for name, v := range given {
		if single && len(given) == 1 {
			name = req.Name // the field is named as the property, or any way if it is the only one
		}
		w, problem := t.writeOfLocked(name, v)
		if problem != nil {
			return nil, problem
		}
		writes = append(writes, w)
	}
	for name, text := range raw {
		v, err := restjson.Value(text, alwayson.FieldDefinition{Type: t.typeOfLocked(name)})
		if err != nil {
			v = alwayson.Value{} // fits no property, and is refused as such below
		}
		w, problem := t.writeOfLocked(name, v)
		if problem != nil {
			return nil, problem
		}
		writes = append(writes, w)
	}
	if single && !slices.ContainsFunc(writes, func(w write) bool { return w.name == req.Name }) {
		return nil, fail(alwayson.BadRequest, "write of property [%s] of thing [%s]: no value of that name given", req.Name, t.name)
	}
	sort.Slice(writes, func(i, j int) bool { return writes[i].name < writes[j].name })
	return writes, nil
}

func (t *thing) typeOfLocked(name string) alwayson.BaseType {
	if pr := t.props[name]; pr != nil {
		return pr.def.Type
	}
	return alwayson.TypeVariant
}

// writeOfLocked checks and converts one value to write.
func (t *thing) writeOfLocked(name string, v alwayson.Value) (write, *alwayson.Response) {
	if _, isSystem := t.systemValueLocked(name); isSystem {
		return write{}, fail(alwayson.MethodNotAllowed, "property [%s] of thing [%s] is read-only", name, t.name)
	}
	pr := t.props[name]
	if pr == nil {
		return write{}, fail(alwayson.NotFound, "property [%s] does not exist on thing [%s]", name, t.name)
	}
	if pr.def.ReadOnly {
		return write{}, fail(alwayson.MethodNotAllowed, "property [%s] of thing [%s] is read-only", name, t.name)
	}
	value, fits := restjson.Coerce(v, pr.def.Type)
	if !fits {
		return write{}, fail(alwayson.BadRequest, "property [%s] of thing [%s] is a %s; the value given does not fit", name, t.name, pr.def.Type)
	}
	return write{name, own(value)}, nil
}
