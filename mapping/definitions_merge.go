package mapping

import "thingbridge/edge/alwayson"

// count is the number of definitions.
func (d *Definitions) count() int { return len(d.Properties) + len(d.Services) + len(d.Events) }

func (d *Definitions) property(p *Property) {
	if d.Properties == nil {
		d.Properties = map[string]*Property{}
	}
	if have := d.Properties[p.Name]; have != nil && have.Writable && !p.Writable {
		c := *p
		c.Writable, c.ReadOnly = true, false
		p = &c
	}
	d.Properties[p.Name] = p
}

// writable marks a property that a rule writes.
func (d *Definitions) writable(name string) {
	if have := d.Properties[name]; have != nil {
		c := *have
		c.Writable, c.ReadOnly = true, false
		d.Properties[name] = &c
	}
}

func (d *Definitions) service(s *Service) {
	if d.Services == nil {
		d.Services = map[string]*Service{}
	}
	d.Services[s.Name] = s
}

func (d *Definitions) event(e *EventDefinition) {
	if d.Events == nil {
		d.Events = map[string]*EventDefinition{}
	}
	d.Events[e.Name] = e
}

// merge adds what o declares; o wins. Nothing of o is changed later.
func (d *Definitions) merge(o *Definitions) {
	for _, p := range o.Properties {
		d.property(p)
	}
	for _, s := range o.Services {
		d.service(s)
	}
	for _, e := range o.Events {
		d.event(e)
	}
	for _, pair := range [][2]*string{{&d.Template, &o.Template}, {&d.Identifier, &o.Identifier}, {&d.Description, &o.Description}} {
		if *pair[1] != "" {
			*pair[0] = *pair[1]
		}
	}
}

// limit drops definitions over n, in the order properties, services, events by
// name; it tells how many.
func (d *Definitions) limit(n int) (dropped int) {
	left := n
	cut := func(keys []string, drop func(string)) {
		for _, k := range keys {
			if left > 0 {
				left--
			} else {
				drop(k)
				dropped++
			}
		}
	}
	cut(sortedKeys(d.Properties), func(k string) { delete(d.Properties, k) })
	cut(sortedKeys(d.Services), func(k string) { delete(d.Services, k) })
	cut(sortedKeys(d.Events), func(k string) { delete(d.Events, k) })
	return dropped
}

// inferred gives the properties of a Thing that nothing declares, with the types
// of their first values, sorted by name.
func (e *Engine) inferred(thing string) []alwayson.PropertyDefinition {
	st := e.state(thing)
	if st == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var defs []alwayson.PropertyDefinition
	for _, name := range sortedKeys(st.inferred) {
		var def alwayson.PropertyDefinition
		def.Name, def.Type = name, st.inferred[name]
		defs = append(defs, def)
	}
	return defs
}

// Metadata is what GetMetadata answers for a known Thing: what it declares, sorted
// by name, and behind that the properties that were inferred from values since it
// was announced. It is nil for an unknown Thing.
func (e *Engine) Metadata(thing string) *alwayson.Metadata {
	d := e.Device(thing)
	if d == nil {
		return nil
	}
	m := &alwayson.Metadata{Name: d.Thing, Description: d.Definitions.Description}
	for _, name := range sortedKeys(d.Definitions.Properties) {
		m.Properties = append(m.Properties, d.Definitions.Properties[name].PropertyDefinition)
	}
	m.Properties = append(m.Properties, e.inferred(thing)...)
	for _, name := range sortedKeys(d.Definitions.Services) {
		m.Services = append(m.Services, d.Definitions.Services[name].ServiceDefinition)
	}
	for _, name := range sortedKeys(d.Definitions.Events) {
		m.Events = append(m.Events, d.Definitions.Events[name].EventDefinition)
	}
	return m
}
