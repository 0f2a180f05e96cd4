package mapping

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"thingbridge/edge/alwayson"
)

const (
	timeAhead = 5 * time.Minute
	timeFloor = 946684800000 // 2000-01-01T00:00:00Z
)

// values applies a property rule.
func (h *handler) values(r *rule, s *scope, st *deviceState) {
	p := r.property
	c := collector{h: h, r: r, st: st}
	if p.each == nil {
		c.collect(s)
	} else {
		h.eachItem(r, p.each, s, st.dev.Thing, c.collect)
	}
	c.finish()
}

// eachItem calls f for each item of a list.
func (h *handler) eachItem(r *rule, each *expression, s *scope, thing string, f func(*scope)) {
	v, err := s.eval(each)
	if err != nil {
		h.reject(thing, r.id, ReasonExpression, "each: "+err.Error())
		return
	}
	list, ok := v.([]any)
	if !ok && v != nil {
		h.reject(thing, r.id, ReasonMalformed, "each: a list is wanted, not "+kindOf(v))
		return
	}
	for _, item := range list {
		f(s.with(binding{"item", item}))
	}
}

// collector gathers the values of one rule on one message.
type collector struct {
	h     *handler
	r     *rule
	st    *deviceState
	out   []alwayson.PropertyValue
	past  []alwayson.PropertyValue // values of the past
	old   bool                     // what is collected now is of the past
	nulls []string
	none  int
	full  bool
	ms    int64
	qual  string
	doubt bool // the time was not plausible

	origin string // what the property's name is made of; "": not told
}

func (c *collector) reject(reason Reason, format string, args ...any) {
	c.h.reject(c.st.dev.Thing, c.r.id, reason, fmt.Sprintf(format, args...))
}

func (c *collector) collect(s *scope) {
	p := c.r.property
	c.ms, c.qual = c.h.in.Now.UnixMilli(), alwayson.QualityGood
	if !c.stamp(s, p.time, p.quality) {
		return
	}
	if c.old = false; p.history != nil {
		var err error
		if c.old, err = s.test(p.history); err != nil {
			c.reject(ReasonExpression, "history: %s", err)
			return
		}
	}
	switch {
	case p.one != nil:
		c.single(s, p.one)
	case p.object != nil:
		c.members(s)
	default:
		if c.out == nil {
			c.out = make([]alwayson.PropertyValue, 0, len(p.values))
		}
		for i := range p.values {
			v := &p.values[i]
			value, err := s.eval(v.value)
			if err != nil {
				c.reject(ReasonExpression, "%s: %s", v.name, err)
				continue
			}
			c.add(v.name, value, v, s)
		}
	}
}

// stamp takes time and quality.
func (c *collector) stamp(s *scope, t, q *expression) bool {
	if t != nil {
		v, err := s.eval(t)
		if err != nil {
			c.reject(ReasonExpression, "time: %s", err)
			return false
		}
		c.setTime(v)
	}
	if q != nil {
		v, err := s.eval(q)
		if err != nil {
			c.reject(ReasonExpression, "quality: %s", err)
			return false
		}
		c.setQuality(v)
	}
	return true
}

func (c *collector) setQuality(v any) {
	if text, ok := v.(string); ok && text != "" && len(text) <= 100 && !c.doubt {
		c.qual = strings.Clone(text)
	}
}

// setTime takes the device's time; one that is not plausible becomes the time
// of receipt, marked as such.
func (c *collector) setTime(v any) {
	c.doubt = false
	if v == nil {
		return
	}
	ms, fault := plausible(v, c.h.in.Now)
	if fault == "" {
		c.ms = ms
		return
	}
	c.reject(ReasonTime, "%s", fault)
	c.doubt, c.qual = true, alwayson.QualityUnverifiedSource
}

// plausible reads a time; fault says what is wrong with it.
func plausible(v any, now time.Time) (ms int64, fault string) {
	ms, err := toMillis(v)
	switch {
	case err != nil:
		return 0, err.Error()
	case ms < timeFloor:
		return 0, FormatTime(ms) + " is before the year 2000"
	case ms > now.Add(timeAhead).UnixMilli():
		return 0, FormatTime(ms) + " is more than 5 minutes ahead"
	}
	return ms, ""
}

func (c *collector) single(s *scope, v *valueRule) {
	name, err := c.name(s, v)
	if err != nil {
		c.reject(ReasonExpression, "property: %s", err)
		return
	}
	value, err := s.eval(v.value)
	if err != nil {
		c.reject(ReasonExpression, "%s: %s", name, err)
		return
	}
	if x := c.r.property.from; x != nil {
		from, err := s.eval(x)
		if err != nil {
			c.reject(ReasonExpression, "%s: from: %s", name, err)
			return
		}
		c.origin = string(appendAny(nil, from))
	}
	c.add(name, value, v, s)
}

func (c *collector) name(s *scope, v *valueRule) (string, error) {
	switch {
	case v.name != "":
		return v.name, nil
	case v.nameTmpl != nil:
		return v.nameTmpl.name(s)
	case v.nameExpr != nil:
		value, err := s.eval(v.nameExpr)
		if err != nil {
			return "", err
		}
		text, ok := templateText(value)
		if !ok {
			return "", errors.New("the name has no value")
		}
		return text, nil
	}
	name, _ := s.level("property")
	return strings.Clone(name), nil
}

// members adds each member of an object, straight from the JSON when the
// expression is a plain path.
func (c *collector) members(s *scope) {
	p := c.r.property
	msg := s.msg
	if x := p.object; x.path != nil && msg.json && !msg.decoded && (len(x.path) == 0 || x.gpath != "") {
		obj := gjson.ParseBytes(msg.raw)
		if len(x.path) > 0 {
			obj = obj.Get(x.gpath)
		}
		if p.wrapper {
			obj = c.unwrapRaw(obj)
		}
		if obj.IsObject() {
			c.rawMembers(s, obj)
			return
		}
		c.notObject(fromResult(obj))
		return
	}
	v, err := s.eval(p.object)
	if err != nil {
		c.reject(ReasonExpression, "values: %s", err)
		return
	}
	m, ok := v.(map[string]any)
	if ok && p.wrapper {
		m, ok = c.unwrap(m)
	}
	if !ok {
		c.notObject(v)
		return
	}
	for _, name := range sortedKeys(m) {
		c.add(name, m[name], nil, s)
	}
}

func (c *collector) notObject(v any) {
	if v == nil {
		c.none++
		return
	}
	c.reject(ReasonMalformed, "values: an object is wanted, not %s", kindOf(v))
}

func (c *collector) rawMembers(s *scope, obj gjson.Result) {
	seen := make(map[string]struct{}, 8)
	if c.out == nil {
		const most = 32 // the message's sender decides how many commas there are
		c.out = make([]alwayson.PropertyValue, 0, min(strings.Count(obj.Raw, ",")+1, most))
	}
	obj.ForEach(func(k, v gjson.Result) bool {
		name := c.propertyName(k.Str)
		if _, twice := seen[name]; !twice {
			seen[name] = struct{}{}
			c.add(name, fromResult(v), nil, s)
		}
		return !c.full
	})
}

// propertyName is a name of the message's that may be kept: the definition's own
// text where there is one, else a copy.
func (c *collector) propertyName(key string) string {
	if p := c.st.dev.Definitions.Properties[key]; p != nil && p.Name == key {
		return p.Name
	}
	return strings.Clone(validText(key))
}

// unwrap takes {"values": {…}, "time": …, "quality": …} apart, if there is
// nothing else in it.
func (c *collector) unwrap(m map[string]any) (map[string]any, bool) {
	inner, ok := m["values"].(map[string]any)
	if !ok || len(m) > 3 {
		return m, true
	}
	for k := range m {
		if k != "values" && k != "time" && k != "quality" {
			return m, true
		}
	}
	c.setTime(m["time"])
	c.setQuality(m["quality"])
	return inner, true
}

func (c *collector) unwrapRaw(obj gjson.Result) gjson.Result {
	var values, at, quality gjson.Result
	other := !obj.IsObject()
	if !other {
		obj.ForEach(func(k, v gjson.Result) bool {
			var slot *gjson.Result
			switch k.Str {
			case "values":
				slot = &values
			case "time":
				slot = &at
			case "quality":
				slot = &quality
			default:
				other = true
				return false
			}
			if !slot.Exists() {
				*slot = v
			}
			return true
		})
	}
	if other || !values.IsObject() {
		return obj
	}
	c.setTime(fromResult(at))
	c.setQuality(fromResult(quality))
	return values
}

// add converts one value and appends it. own is the device's name of the property.
func (c *collector) add(own string, v any, rule *valueRule, s *scope) {
	if c.full {
		return
	}
	name := PropertyName(own)
	if v == nil && !(c.r.property.keepNull && c.declared(name)) {
		c.none++
		if len(c.nulls) < 10 {
			c.nulls = append(c.nulls, name)
		}
		return
	}
	if len(c.out)+len(c.past) >= c.h.e.opt.Limits.ValuesPerMessage {
		c.full = true
		c.reject(ReasonTooLarge, "more than %d values in one message (limits.values_per_message)", c.h.e.opt.Limits.ValuesPerMessage)
		return
	}
	if err := CheckMemberName(name); err != nil {
		c.reject(ReasonName, "property %s: %s", shorten(name, 60), err)
		return
	}
	if other, foreign := c.st.foreignName(name, c.origin); foreign {
		c.reject(ReasonIdentity, "property %s is made of %s already, and not of %s", name, other, shorten(c.origin, 300))
		return
	}
	var value alwayson.Value
	if v != nil {
		var reason Reason
		var err error
		if value, reason, err = c.convert(name, v, rule, s); err != nil {
			c.reject(reason, "%s: %s", name, err)
			return
		}
	}
	c.st.claimName(name, c.origin)
	pv := alwayson.PropertyValue{Name: name, Value: value, Time: c.ms, Quality: c.qual}
	if c.old {
		c.past = append(c.past, pv)
	} else {
		c.out = append(c.out, pv)
	}
}

func (c *collector) declared(name string) bool { return c.st.dev.Definitions.Properties[name] != nil }

func (c *collector) convert(name string, v any, rule *valueRule, s *scope) (alwayson.Value, Reason, error) {
	var def *alwayson.FieldDefinition
	if p := c.st.dev.Definitions.Properties[name]; p != nil {
		def = &p.FieldDefinition
	} else if rule != nil && rule.def != nil {
		def = &rule.def.FieldDefinition
		if !c.st.note(name, def.Type, c.h.e.opt.Limits.DefinitionsPerThing) {
			return alwayson.Value{}, ReasonTooLarge, errTooMany(c.h.e.opt.Limits.DefinitionsPerThing)
		}
	} else if rule != nil && rule.typeExpr != nil {
		t, err := s.eval(rule.typeExpr)
		text, _ := t.(string)
		base, ok := alwayson.ParseBaseType(text)
		if err != nil || !ok && t != nil {
			return alwayson.Value{}, ReasonExpression, fmt.Errorf("the type is no base type: %v %s", t, errText(err))
		}
		if ok {
			def = &alwayson.FieldDefinition{Type: base}
			if !c.st.note(name, base, c.h.e.opt.Limits.DefinitionsPerThing) {
				return alwayson.Value{}, ReasonTooLarge, errTooMany(c.h.e.opt.Limits.DefinitionsPerThing)
			}
		}
	}
	if def == nil {
		return c.st.infer(name, v, c.h.e.opt.Limits.DefinitionsPerThing, &c.h.conv)
	}
	if rule != nil && def.Type.IsText() && rule.value.ident == "payload" && s.msg.json {
		if kindOf(v) == "a number" { // as the device wrote it
			v = strings.TrimSpace(string(s.msg.raw))
		}
	}
	out, err := c.h.conv.convert(def, v)
	return out, ReasonType, err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// infer converts a value to the type that the property's first value since
// the announcement had.
func (st *deviceState) infer(name string, v any, limit int, conv *converter) (alwayson.Value, Reason, error) {
	st.mu.Lock()
	t, known := st.inferred[name]
	if !known {
		if len(st.inferred)+st.dev.Definitions.count() >= limit {
			st.mu.Unlock()
			return alwayson.Value{}, ReasonTooLarge, errTooMany(limit)
		}
		t = inferType(v)
		st.noteLocked(name, t)
	}
	st.mu.Unlock()
	def := alwayson.FieldDefinition{Type: t}
	out, err := conv.convert(&def, v)
	return out, ReasonType, err
}

// Learn notes the type of a property that neither the device declares nor a value
// has told yet, as its first value does.
func (e *Engine) Learn(thing, property string, t alwayson.BaseType) {
	st := e.state(thing)
	if st == nil || st.dev.Definitions.Properties[property] != nil {
		return
	}
	st.mu.Lock()
	_, known := st.inferred[property]
	st.mu.Unlock()
	if !known {
		st.note(property, t, e.opt.Limits.DefinitionsPerThing)
	}
}

func errTooMany(limit int) error { return fmt.Errorf("the Thing has %d properties already", limit) }

// note remembers a property that a rule types and whose name came with the message,
// so that the platform can browse it; false when there are too many.
func (st *deviceState) note(name string, t alwayson.BaseType, limit int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, known := st.inferred[name]; !known && len(st.inferred)+st.dev.Definitions.count() >= limit {
		return false
	}
	st.noteLocked(name, t)
	return true
}

func (st *deviceState) noteLocked(name string, t alwayson.BaseType) {
	if st.inferred == nil {
		st.inferred = make(map[string]alwayson.BaseType, 1)
	}
	st.inferred[name] = t
}

func (c *collector) finish() {
	if c.none > 0 {
		detail := "no value"
		if len(c.nulls) > 0 {
			detail = strings.Join(c.nulls, ", ") + ": no value"
		}
		c.reject(ReasonNull, "%s", detail)
	}
	if len(c.past) > 0 {
		c.h.dst = append(c.h.dst, &Values{Rule: c.r.id, Thing: c.st.dev.Thing, Values: c.past, History: true})
	}
	if len(c.out) > 0 {
		c.h.tell(c.r.id, c.st.dev.Thing, c.out)
	}
	if len(c.out)+len(c.past) == 0 {
		c.h.say("it yields no values")
	}
}

// tell adds values of a Thing. What several rules find for it in one message, one
// after the other, is one effect.
func (h *handler) tell(rule, thing string, values []alwayson.PropertyValue) {
	if n := len(h.dst); n > h.first {
		if last, ok := h.dst[n-1].(*Values); ok && last.Thing == thing && !last.History {
			if last.RuleOf(len(last.Values)-1) != rule {
				last.More = append(last.More, MoreValues{len(last.Values), rule})
			}
			last.Values = append(last.Values, values...)
			return
		}
	}
	h.dst = append(h.dst, &Values{Rule: rule, Thing: thing, Values: values})
}
