package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// ThingSpec describes a Thing that exists from the start.
type ThingSpec struct {
	Name        string
	Identifier  string // an edge then binds it as "*" and this
	Template    string // default RemoteThing
	Description string
	Properties  map[string]PropertySpec
	Services    map[string]ServiceSpec
	Events      map[string]EventSpec
}

// PropertySpec describes a property. On a remote Thing it is remotely bound
// unless Local is set.
type PropertySpec struct {
	Type        string // base type, needed
	Description string
	Remote      string // remote name; default: the property's own
	Push        string // push type; default VALUE
	Threshold   float64
	CacheTime   *int64          // ms; default -1: never read from the edge once a value is known
	Default     json.RawMessage // value before the first push
	ReadOnly    bool
	Local       bool
	DataShape   string // of an INFOTABLE
}

// ServiceSpec describes a remote service.
type ServiceSpec struct {
	Description string
	Remote      string // remote name; default: the service's own
	Inputs      map[string]FieldSpec
	Output      FieldSpec // Type empty: no result
}

// EventSpec describes a remote event.
type EventSpec struct {
	Description string
	DataShape   string
	Fields      map[string]FieldSpec
}

// FieldSpec describes an input, an output or a column.
type FieldSpec struct {
	Type        string
	Description string
	Required    bool
	DataShape   string
}

// shapeSpec describes a DataShape of a Things file.
type shapeSpec struct {
	description string
	fields      map[string]FieldSpec
}

// loadThings gives the Things of the options and of their file.
func (o Options) loadThings() ([]ThingSpec, map[string]shapeSpec, error) {
	specs := slices.Clone(o.Things)
	if o.ThingsFile == "" {
		return specs, nil, nil
	}
	more, shapes, err := readThingsFile(o.ThingsFile)
	return append(specs, more...), shapes, err
}

// addSpecs makes the Things and DataShapes described, and reports all problems.
func (p *Platform) addSpecs(specs []ThingSpec, shapes map[string]shapeSpec) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		fields, err := fieldSpecs(shapes[name].fields, "data shape "+name)
		errs = append(errs, err, checkName(name))
		p.shapes[key(name)] = &shape{name: name, description: shapes[name].description, fields: fields}
	}
	for _, spec := range specs {
		if err := p.addSpec(spec); err != nil {
			errs = append(errs, fmt.Errorf("thing %q: %w", spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Platform) addSpec(spec ThingSpec) error {
	if spec.Template == "" {
		spec.Template = "RemoteThing"
	}
	if p.templates[key(spec.Template)] == nil { // a template of the user's own
		p.templates[key(spec.Template)] = &template{spec.Template, "RemoteThing"}
	}
	t, err := p.createThing(spec.Name, spec.Description, spec.Template)
	if err != nil {
		return err
	}
	t.enabled = true
	if err := p.setIdentifier(t, spec.Identifier); err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(spec.Properties)) {
		if alwayson.SystemProperty(name) {
			errs = append(errs, fmt.Errorf("property %s: each Thing has a property of that name already", name))
			continue
		}
		pr, err := p.propertyFromSpec(t, name, spec.Properties[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.addPropertyLocked(pr, &p.opts)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Services)) {
		s := spec.Services[name]
		def := alwayson.ServiceDefinition{Name: name, Description: s.Description, Output: alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeNothing}}
		def.Inputs, err = fieldSpecs(s.Inputs, "service "+name)
		errs = append(errs, err)
		if s.Output.Type != "" {
			def.Output, err = s.Output.definition("result", "output of service "+name)
			errs = append(errs, err)
		}
		edgeName := s.Remote
		if edgeName == "" {
			edgeName = name
		}
		t.addServiceLocked(&service{def: def, remote: true, edgeName: edgeName})
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Events)) {
		e := spec.Events[name]
		def := alwayson.EventDefinition{Name: name, Description: e.Description, DataShape: e.DataShape}
		def.Fields, err = fieldSpecs(e.Fields, "event "+name)
		errs = append(errs, err)
		t.addEventLocked(&event{def: def, remote: true})
	}
	return errors.Join(errs...)
}

func (p *Platform) propertyFromSpec(t *thing, name string, s PropertySpec) (*property, error) {
	field, err := FieldSpec{Type: s.Type, Description: s.Description, DataShape: s.DataShape}.definition(name, "property "+name)
	if err != nil {
		return nil, err
	}
	field.Fields = p.shapeFields(s.DataShape)
	pr := &property{def: alwayson.PropertyDefinition{FieldDefinition: field, ReadOnly: s.ReadOnly}, logged: true}
	if len(s.Default) > 0 {
		if pr.fallback, err = restjson.Value(s.Default, field); err != nil {
			return nil, fmt.Errorf("property %s: default %s is no %s", name, s.Default, field.Type)
		}
	}
	if s.Local || !t.remote {
		return pr, nil
	}
	push, known := alwayson.PushValue, true
	if s.Push != "" {
		push, known = alwayson.ParsePushType(s.Push)
	}
	if !known {
		return nil, fmt.Errorf("property %s: push type %q; expected ALWAYS, VALUE, DEADBAND, ON, OFF or NEVER", name, s.Push)
	}
	pr.binding = &propertyBinding{edgeName: s.Remote, push: push, threshold: s.Threshold, cacheTime: -1, foldType: "NONE"}
	if s.Remote == "" {
		pr.binding.edgeName = name
	}
	if s.CacheTime != nil {
		pr.binding.cacheTime = *s.CacheTime
	}
	return pr, nil
}

func fieldSpecs(specs map[string]FieldSpec, where string) ([]alwayson.FieldDefinition, error) {
	var fields []alwayson.FieldDefinition
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		f, err := specs[name].definition(name, where+", field "+name)
		fields, errs = append(fields, f), append(errs, err)
	}
	return fields, errors.Join(errs...)
}

func (s FieldSpec) definition(name, where string) (alwayson.FieldDefinition, error) {
	t, known := alwayson.ParseBaseType(s.Type)
	if !known || t == alwayson.TypeNothing {
		return alwayson.FieldDefinition{}, fmt.Errorf("%s: base type %q; expected NUMBER, STRING, BOOLEAN, …", where, s.Type)
	}
	return alwayson.FieldDefinition{Name: name, Description: s.Description, Type: t, Required: s.Required, DataShape: s.DataShape}, nil
}

// Value gives the stored value of a property; false if none is known.
func (p *Platform) Value(thing, property string) (alwayson.PropertyValue, bool) {
	t := p.lookup(thing)
	if t == nil {
		return alwayson.PropertyValue{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pr := t.props[property]
	if pr == nil || !pr.known {
		return alwayson.PropertyValue{}, false
	}
	return pr.value, true
}

// History gives the stored values of a property, oldest first as they came.
func (p *Platform) History(thing, property string) []alwayson.PropertyValue {
	t := p.lookup(thing)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if pr := t.props[property]; pr != nil {
		return pr.history.list()
	}
	return nil
}

// Pushes gives the values pushed to a Thing, oldest first, the dropped ones too.
func (p *Platform) Pushes(thing string) []Pushed {
	t := p.lookup(thing)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pushes.list()
}

// Events gives the events of a Thing, oldest first.
func (p *Platform) Events(thing string) []Event {
	t := p.lookup(thing)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.eventLog.list()
}

// ThingInfo is a Thing as it stands.
type ThingInfo struct {
	Name, Identifier, Template, Description string

	Enabled, Auto, Connected, Synchronised bool
	LastConnection                         time.Time // zero: never
	Properties, Services, Events           []string
}

// Things lists the Things, by name.
func (p *Platform) Things() []ThingInfo {
	p.mu.RLock()
	all := slices.Collect(maps.Values(p.things))
	p.mu.RUnlock()
	slices.SortFunc(all, func(a, b *thing) int { return compareNames(a.name, b.name) })
	out := make([]ThingInfo, 0, len(all))
	for _, t := range all {
		out = append(out, t.info())
	}
	return out
}

func (t *thing) info() ThingInfo {
	ep := t.bound()
	t.mu.Lock()
	defer t.mu.Unlock()
	return ThingInfo{
		Name: t.name, Identifier: t.identifier, Template: t.template, Description: t.description,
		Enabled: t.enabled, Auto: t.auto.Load(), Connected: ep != nil, Synchronised: ep != nil && ep.open.Load(),
		LastConnection: t.lastConn,
		Properties:     slices.Clone(t.propOrder), Services: slices.Clone(t.svcOrder), Events: slices.Clone(t.eventOrder),
	}
}
