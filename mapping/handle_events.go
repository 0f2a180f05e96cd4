package mapping

import (
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// event applies an event rule.
func (h *handler) event(r *rule, s *scope, st *deviceState) {
	one := func(s *scope) { h.oneEvent(r, s, st) }
	if r.event.each == nil {
		one(s)
		return
	}
	h.eachItem(r, r.event.each, s, st.dev.Thing, one)
}

func (h *handler) oneEvent(r *rule, s *scope, st *deviceState) {
	e := r.event
	thing := st.dev.Thing
	name, err := e.eventName(s)
	if err == nil {
		err = CheckMemberName(name)
	}
	if err != nil {
		h.reject(thing, r.id, ReasonName, "event: "+err.Error())
		return
	}
	eff := &Event{Rule: r.id, Thing: thing, Name: name, Time: h.in.Now}
	if e.time != nil {
		v, err := s.eval(e.time)
		if err != nil {
			h.reject(thing, r.id, ReasonExpression, "time: "+err.Error())
		} else if v != nil {
			if ms, fault := plausible(v, h.in.Now); fault == "" {
				eff.Time = time.UnixMilli(ms)
			} else {
				h.reject(thing, r.id, ReasonTime, fault)
			}
		}
	}
	data, err := e.object(s)
	if err != nil {
		h.reject(thing, r.id, ReasonExpression, name+": "+err.Error())
		return
	}
	var def []alwayson.FieldDefinition
	if d := st.dev.Definitions.Events[name]; d != nil {
		def = d.Fields
	}
	if eff.Data, err = h.eventTable(data, def); err != nil {
		h.reject(thing, r.id, ReasonType, name+": "+err.Error())
		return
	}
	h.dst = append(h.dst, eff)
}

func (e *eventRule) eventName(s *scope) (string, error) {
	v := valueRule{name: e.name, nameExpr: e.nameExpr, nameTmpl: e.nameTmpl}
	if v.name == "" && v.nameExpr == nil && v.nameTmpl == nil {
		name, _ := s.level("event")
		return strings.Clone(name), nil
	}
	return (&collector{}).name(s, &v)
}

// object gives the event's data as an object; nil is none.
func (e *eventRule) object(s *scope) (map[string]any, error) {
	if e.data == nil {
		out := make(map[string]any, len(e.fields))
		for i := range e.fields {
			v, err := s.eval(e.fields[i].value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.fields[i].def.Name, err)
			}
			out[e.fields[i].def.Name] = v
		}
		return out, nil
	}
	v, err := s.eval(e.data)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	case string:
		if v == "" {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("the data must be an object, not %s", kindOf(v))
}

// eventTable makes an event's one row: declared fields by their types, others
// inferred; nil values are left out.
func (h *handler) eventTable(data map[string]any, def []alwayson.FieldDefinition) (*alwayson.InfoTable, error) {
	if len(data) == 0 {
		return nil, nil
	}
	t := &alwayson.InfoTable{Rows: make([][]alwayson.Value, 1)}
	if len(data) > maxColumns {
		return nil, fmt.Errorf("%d fields; at most %d are taken", len(data), maxColumns)
	}
	for _, name := range sortedKeys(data) {
		v := data[name]
		if v == nil {
			continue
		}
		if err := CheckMemberName(name); err != nil {
			return nil, err
		}
		field := fieldOf(def, name)
		var value alwayson.Value
		var err error
		if field != nil {
			if value, err = h.conv.convert(field, v); err != nil {
				return nil, fmt.Errorf("field %q: %w", name, err)
			}
		} else {
			value = h.conv.infer(v)
		}
		t.Fields = append(t.Fields, alwayson.Field{Name: name, Type: value.Type()})
		t.Rows[0] = append(t.Rows[0], value)
	}
	return t, nil
}

func fieldOf(defs []alwayson.FieldDefinition, name string) *alwayson.FieldDefinition {
	for i := range defs {
		if defs[i].Name == name {
			return &defs[i]
		}
	}
	return nil
}
