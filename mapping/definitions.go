package mapping

import (
	"fmt"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// maxTimeout is the longest time of a call: the platform gives up at 30 s.
const maxTimeout = 25 * time.Second

// defProblem is a fault of one definition; path leads to it from the definition.
type defProblem struct {
	path []string
	text string
}

func (p defProblem) String() string {
	if len(p.path) == 0 {
		return p.text
	}
	return strings.Join(p.path, ".") + ": " + p.text
}

// defReader reads definitions in the shape of a native announcement and
// collects what is wrong with them.
type defReader struct {
	path     []string
	problems []defProblem
	lenient  bool // of a device: what does not hinder is noted
	hard     int  // problems that make a definition unusable
}

// note reports what does not hinder in an announcement and is a fault in a file.
func (r *defReader) note(format string, args ...any) {
	r.fail(format, args...)
	if r.lenient {
		r.hard--
	}
}

func (r *defReader) fail(format string, args ...any) {
	r.hard++
	if len(r.problems) < 100 {
		r.problems = append(r.problems, defProblem{append([]string(nil), r.path...), fmt.Sprintf(format, args...)})
	}
}

// in runs f with the path one longer.
func (r *defReader) in(name string, f func()) {
	r.path = append(r.path, name)
	f()
	r.path = r.path[:len(r.path)-1]
}

func (r *defReader) text(m map[string]any, key string) string {
	switch v := m[key].(type) {
	case nil:
	case string:
		return v
	default:
		r.in(key, func() { r.fail("text is wanted, not %s", kindOf(v)) })
	}
	return ""
}

func (r *defReader) boolean(m map[string]any, key string) bool {
	switch v := m[key].(type) {
	case nil:
	case bool:
		return v
	default:
		r.in(key, func() { r.fail("true or false is wanted, not %s", kindOf(v)) })
	}
	return false
}

func (r *defReader) number(m map[string]any, key string) *float64 {
	if m[key] == nil {
		return nil
	}
	f, err := toFloat(m[key])
	if err != nil {
		r.in(key, func() { r.fail("%s", err) })
		return nil
	}
	return &f
}

func (r *defReader) duration(m map[string]any, key string) time.Duration {
	if m[key] == nil {
		return 0
	}
	s, _ := m[key].(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		r.in(key, func() { r.fail("a duration with its unit is wanted, such as 10s, not %s", appendAny(nil, m[key])) })
		return 0
	}
	return d
}

func (r *defReader) unknown(m map[string]any, known ...string) {
	for _, key := range sortedKeys(m) {
		ok := false
		for _, k := range known {
			ok = ok || k == key
		}
		if !ok {
			r.in(key, func() { r.note("unknown key; known are %s", strings.Join(known, ", ")) })
		}
	}
}

var fieldKeys = []string{"type", "description", "required", "dataShape", "fields"}

// field reads a field: the type alone, or an object. extra are keys that the
// caller reads itself.
func (r *defReader) field(name string, v any, extra ...string) (alwayson.FieldDefinition, map[string]any) {
	def := alwayson.FieldDefinition{Name: name, Type: alwayson.TypeString}
	if err := CheckMemberName(name); err != nil {
		r.fail("%s", err)
	}
	m, _ := v.(map[string]any)
	switch v := v.(type) {
	case string:
		def.Type = r.baseType(v)
		return def, nil
	case map[string]any:
	default:
		r.fail("a type or an object is wanted, not %s", kindOf(v))
		return def, nil
	}
	r.unknown(m, append(append([]string{}, fieldKeys...), extra...)...)
	if t := r.text(m, "type"); t != "" {
		r.in("type", func() { def.Type = r.baseType(t) })
	} else if m["fields"] != nil || m["dataShape"] != nil {
		def.Type = alwayson.TypeInfoTable
	}
	def.Description = r.text(m, "description")
	def.Required = r.boolean(m, "required")
	def.DataShape = r.text(m, "dataShape")
	r.in("fields", func() { def.Fields = r.fields(r.objectOf(m["fields"])) })
	if def.Type != alwayson.TypeInfoTable && (def.DataShape != "" || def.Fields != nil) {
		r.fail("dataShape and fields belong to an INFOTABLE only")
	}
	return def, m
}

func (r *defReader) objectOf(v any) map[string]any {
	m, ok := v.(map[string]any)
	if v != nil && !ok {
		r.fail("an object is wanted, not %s", kindOf(v))
	}
	return m
}

func (r *defReader) fields(m map[string]any) []alwayson.FieldDefinition {
	if len(r.path) > 12 {
		r.fail("fields nest too deep")
		return nil
	}
	var out []alwayson.FieldDefinition
	for _, name := range sortedKeys(m) {
		r.in(name, func() {
			f, _ := r.field(name, m[name])
			out = append(out, f)
		})
	}
	return out
}

func (r *defReader) baseType(s string) alwayson.BaseType {
	t, ok := alwayson.ParseBaseType(s)
	if !ok || t == alwayson.TypeTimespan || t == alwayson.TypeSchedule {
		r.fail("%q is no base type; known are NUMBER, INTEGER, LONG, BOOLEAN, STRING, DATETIME, LOCATION, JSON, INFOTABLE, BLOB, IMAGE and the other names of the platform", shorten(s, 40))
		return alwayson.TypeString
	}
	return t
}

var propertyKeys = []string{"push", "threshold", "writable", "confirm", "max_age", "unit", "min", "max", "step", "values", "single"}

var pushTypes = map[string]alwayson.PushType{
	"": alwayson.PushValue, "VALUE": alwayson.PushValue, "ALWAYS": alwayson.PushAlways, "NEVER": alwayson.PushNever,
	"ON": alwayson.PushOn, "OFF": alwayson.PushOff, "DEADBAND": alwayson.PushDeadband,
}

// property reads one property; extra are keys that belong to others.
func (r *defReader) property(name string, v any, extra ...string) *Property {
	p := &Property{}
	var m map[string]any
	p.FieldDefinition, m = r.field(name, v, append(append([]string{}, propertyKeys...), extra...)...)
	p.Name = PropertyName(name)
	if p.Type == alwayson.TypeNothing {
		r.fail("a property cannot be NOTHING")
	}
	p.ReadOnly = true
	if m == nil {
		return p
	}
	push, ok := pushTypes[strings.ToUpper(r.text(m, "push"))]
	if !ok {
		r.in("push", func() { r.fail("%v is no push type; known are VALUE, ALWAYS, NEVER, ON, OFF, DEADBAND", m["push"]) })
	}
	p.Push = push
	if th := r.number(m, "threshold"); th != nil {
		p.Threshold = *th
	}
	p.Unit = r.text(m, "unit")
	p.Writable = r.boolean(m, "writable")
	p.ReadOnly = !p.Writable
	switch c := Confirm(r.text(m, "confirm")); c {
	case ConfirmSent, ConfirmEcho, ConfirmReply:
		p.Confirm = c
	case "sent":
	default:
		r.in("confirm", func() { r.fail("%q is no confirmation; known are sent, echo, reply", c) })
	}
	p.MaxAge = r.duration(m, "max_age")
	p.Min, p.Max = r.number(m, "min"), r.number(m, "max")
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		r.fail("min %v is over max %v", *p.Min, *p.Max)
	}
	if p.Step = r.number(m, "step"); p.Step != nil && *p.Step <= 0 {
		r.in("step", func() { r.fail("a number over 0 is wanted, not %v", *p.Step) })
	}
	p.Values = r.texts(m, "values")
	if p.Single = r.boolean(m, "single"); p.Single && p.Type != alwayson.TypeNumber {
		r.in("single", func() { r.fail("only a NUMBER is kept with 32 bits, not %s", p.Type) })
	}
	return p
}

func (r *defReader) texts(m map[string]any, key string) []string {
	if m[key] == nil {
		return nil
	}
	list, ok := m[key].([]any)
	if !ok {
		r.in(key, func() { r.fail("a list is wanted, not %s", kindOf(m[key])) })
		return nil
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, err := toText(v)
		if err != nil {
			r.in(key, func() { r.fail("%s", err) })
			continue
		}
		out = append(out, s)
	}
	return out
}

var serviceKeys = []string{"description", "inputs", "output", "timeout", "open"}

func (r *defReader) service(name string, v any, extra ...string) *Service {
	s := &Service{}
	s.Name = name
	s.Output = alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeNothing}
	if err := CheckMemberName(name); err != nil {
		r.fail("%s", err)
	}
	m := r.objectOf(v)
	r.unknown(m, append(append([]string{}, serviceKeys...), extra...)...)
	s.Description = r.text(m, "description")
	r.in("inputs", func() { s.Inputs = r.fields(r.objectOf(m["inputs"])) })
	for i := range s.Inputs {
		if in := &s.Inputs[i]; in.Type == alwayson.TypeNothing && in.Required {
			r.in("inputs", func() { r.in(in.Name, func() { r.note("a NOTHING has no value and cannot be required") }) })
			in.Required = false
		}
	}
	if m["output"] != nil {
		r.in("output", func() { s.Output, _ = r.field("result", m["output"]) })
	}
	s.Open = r.boolean(m, "open")
	s.Timeout = r.duration(m, "timeout")
	if s.Timeout > maxTimeout {
		r.in("timeout", func() { r.note("%s is too long, the platform gives up at 30 s; at most 25s", s.Timeout) })
		s.Timeout = maxTimeout
	}
	return s
}

func (r *defReader) event(name string, v any, extra ...string) *EventDefinition {
	e := &EventDefinition{}
	e.Name = name
	if err := CheckMemberName(name); err != nil {
		r.fail("%s", err)
	}
	m := r.objectOf(v)
	r.unknown(m, append([]string{"description", "fields", "dataShape"}, extra...)...)
	e.Description = r.text(m, "description")
	e.DataShape = r.text(m, "dataShape")
	r.in("fields", func() { e.Fields = r.fields(r.objectOf(m["fields"])) })
	return e
}
