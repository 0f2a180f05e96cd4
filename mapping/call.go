package mapping

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

func callError(code alwayson.Code, format string, args ...any) *CallError {
	return &CallError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Call prepares the call of a service. params are the platform's parameters;
// nil is none. The error is a *CallError: 404 for a Thing or service that is
// not known, 400 for inputs that do not fit.
func (e *Engine) Call(thing, service string, params *alwayson.InfoTable) (*Call, error) {
	st := e.state(thing)
	if st == nil {
		return nil, callError(alwayson.NotFound, "no device has announced the Thing %q", thing)
	}
	def := st.dev.Definitions.Services[service]
	rule, part := st.find(callService, service, nil)
	if rule == nil || rule.declared && def == nil {
		return nil, callError(alwayson.NotFound, "the Thing %q has no service %q", thing, service)
	}
	if def == nil {
		def = rule.service
	}
	inputs, err := inputsOf(def, params)
	if err != nil {
		return nil, err
	}
	c := &caller{e: e, st: st, rule: rule, name: service, part: part}
	c.extra = []binding{{"service", service}, {"inputs", inputs}}
	if def != nil {
		c.output = &def.Output
		c.timeout = def.Timeout
	}
	return c.call()
}

// Write prepares a write of a property. The error is a *CallError: 404 for a
// Thing or property that is not known, 405 for one that is not writable, 400
// for a value that does not fit.
func (e *Engine) Write(thing, property string, v alwayson.Value) (*Call, error) {
	st := e.state(thing)
	if st == nil {
		return nil, callError(alwayson.NotFound, "no device has announced the Thing %q", thing)
	}
	def := st.dev.Definitions.Properties[property]
	own, ours := ownName(property)
	rule, part := st.find(callWrite, own, def)
	if !ours || def == nil && (rule == nil || st.prof.devices != nil) { // such a decoder tells all that there is
		return nil, callError(alwayson.NotFound, "the Thing %q has no property %q", thing, property)
	}
	if rule == nil || def != nil && !def.Writable && !rule.name.exact() {
		return nil, callError(alwayson.MethodNotAllowed, "the property %q of the Thing %q is not writable", property, thing)
	}
	value := v.Unwrap()
	if value.IsNothing() {
		return nil, callError(alwayson.BadRequest, "property %q: a value is wanted", property)
	}
	if def != nil {
		var err error
		if value, err = Convert(&def.FieldDefinition, ToJSON(v)); err != nil {
			return nil, callError(alwayson.BadRequest, "property %q: %s", property, err)
		}
		value = def.rounded(value)
		if def.Single {
			single := float32(value.Number())
			if math.IsInf(float64(single), 0) {
				return nil, callError(alwayson.BadRequest, "property %q: %v is more than a 32-bit number holds", property, value.Number())
			}
			value = alwayson.NewNumber(SingleNumber(single))
		}
		if err = def.permits(value); err != nil {
			return nil, callError(alwayson.BadRequest, "property %q: %s", property, err)
		}
	}
	c := &caller{e: e, st: st, rule: rule, name: property, part: part}
	c.extra = []binding{{"property", own}, {"value", ToJSON(value)}}
	call, err := c.call()
	if err == nil && (rule.either || call.Confirm == ConfirmEcho && !rule.answered()) {
		call.EchoProperty, call.EchoValue = property, value
	}
	return call, err
}

// answered reports whether a reply ends the calls, and not only a failure that
// is told elsewhere.
func (c *callRule) answered() bool {
	for _, r := range c.replies {
		if !r.fail {
			return true
		}
	}
	return false
}

// rounded gives the value that Step permits and that is nearest, with no more
// digits behind the point than the step and where it counts from have.
func (p *Property) rounded(v alwayson.Value) alwayson.Value {
	f, ok := asFloat(ToJSON(v))
	if p.Step == nil || !ok {
		return v
	}
	from := 0.0
	if p.Min != nil {
		from = *p.Min
	} else if p.Max != nil {
		from = *p.Max
	}
	digits := max(decimals(*p.Step), decimals(from))
	nearest, err := strconv.ParseFloat(strconv.FormatFloat(from+math.Round((f-from) / *p.Step)**p.Step, 'f', digits, 64), 64)
	if err != nil || math.IsInf(nearest, 0) || math.IsNaN(nearest) {
		return v
	}
	if out, err := Convert(&p.FieldDefinition, nearest); err == nil {
		return out
	}
	return v
}

// decimals counts the digits that a number is written with behind the point.
func decimals(f float64) int {
	_, behind, _ := strings.Cut(strconv.FormatFloat(f, 'f', -1, 64), ".")
	return len(behind)
}

// permits checks a value against min, max and the permitted texts.
func (p *Property) permits(v alwayson.Value) error {
	if f, ok := asFloat(ToJSON(v)); ok {
		if p.Min != nil && f < *p.Min {
			return fmt.Errorf("%s is below the minimum %s", appendFloat(nil, f), appendFloat(nil, *p.Min))
		}
		if p.Max != nil && f > *p.Max {
			return fmt.Errorf("%s is over the maximum %s", appendFloat(nil, f), appendFloat(nil, *p.Max))
		}
	}
	if p.Values == nil {
		return nil
	}
	text, err := toText(ToJSON(v))
	if err == nil && contains(p.Values, text) {
		return nil
	}
	return fmt.Errorf("%q is not one of the permitted values %q", shorten(text, 60), p.Values)
}

// Read prepares the question for a property. It ends with the next value of it,
// or with a reply. The error is a *CallError: 404 for a Thing or property that is not known,
// 405 where a device cannot be asked.
func (e *Engine) Read(thing, property string) (*Call, error) {
	st := e.state(thing)
	if st == nil {
		return nil, callError(alwayson.NotFound, "no device has announced the Thing %q", thing)
	}
	own, ours := ownName(property)
	if !ours {
		return nil, callError(alwayson.NotFound, "the Thing %q has no property %q", thing, property)
	}
	rule, part := st.find(callRead, own, nil)
	if rule == nil {
		return nil, callError(alwayson.MethodNotAllowed, "the device of the Thing %q cannot be asked for the property %q", thing, property)
	}
	c := &caller{e: e, st: st, rule: rule, name: property, part: part}
	c.extra = []binding{{"property", own}, {"value", nil}}
	if def := st.dev.Definitions.Properties[property]; def != nil {
		c.output = &def.FieldDefinition
	}
	call, err := c.call()
	if err == nil && !rule.answered() {
		call.EchoProperty, call.Confirm = property, ConfirmEcho
	}
	return call, err
}

// find gives the rule for a name: an exact one before one with a part, "*"
// last, the device's own before the profile's. Among several ways the one that
// confirms as the property wants it is taken.
func (st *deviceState) find(k callKind, name string, def *Property) (best *callRule, part string) {
	confirm := ConfirmSent
	if def != nil {
		confirm = def.Confirm
	}
	bestScore := -1
	consider := func(calls []*callRule, own int) {
		for _, c := range calls {
			if c.kind != k {
				continue
			}
			value, ok := c.name.match(name)
			if !ok {
				continue
			}
			score := own
			switch {
			case c.name.exact():
				score += 40
			case !c.name.any:
				score += 20
			}
			if c.confirm == confirm {
				score += 5
			} else if c.confirm == ConfirmSent {
				score += 2
			}
			if score > bestScore {
				best, part, bestScore = c, value, score
			}
		}
	}
	if st.dev.rules != nil {
		consider(st.dev.rules.calls, 10)
	}
	consider(st.prof.calls, 0)
	return best, part
}

// inputsOf makes the JSON object of a service's inputs.
func inputsOf(def *Service, params *alwayson.InfoTable) (map[string]any, error) {
	inputs := map[string]any{}
	if params != nil && len(params.Rows) > 0 {
		for i, f := range params.Fields {
			if i >= len(params.Rows[0]) {
				break
			}
			v := params.Rows[0][i].Unwrap()
			if v.IsNothing() {
				continue
			}
			if def != nil {
				in := fieldOf(def.Inputs, f.Name)
				var err error
				switch {
				case in != nil:
					v, err = Convert(in, ToJSON(v))
				case !def.Open:
					return nil, callError(alwayson.BadRequest, "the service %q has no input %q", def.Name, f.Name)
				}
				if err != nil {
					return nil, callError(alwayson.BadRequest, "input %q: %s", f.Name, err)
				}
			}
			inputs[f.Name] = ToJSON(v)
		}
	}
	if def != nil {
		for _, in := range def.Inputs {
			if _, given := inputs[in.Name]; in.Required && !given {
				return nil, callError(alwayson.BadRequest, "the required input %q is missing", in.Name)
			}
		}
	}
	return inputs, nil
}

// caller assembles one Call.
type caller struct {
	e       *Engine
	st      *deviceState
	rule    *callRule
	name    string
	part    string // of the name that the rule's {part} matched
	extra   []binding
	output  *alwayson.FieldDefinition
	timeout time.Duration
}

func (c *caller) call() (*Call, error) {
	r := c.rule
	out := &Call{Engine: c.e, Thing: c.st.dev.Thing, Name: c.name, Route: r.route, Serial: r.serial, Confirm: r.confirm}
	for _, d := range []time.Duration{c.timeout, r.timeout, c.e.opt.DefaultTimeout} {
		if out.Timeout == 0 {
			out.Timeout = min(d, maxTimeout)
		}
	}
	if r.name.level.name != "" {
		c.extra = append(c.extra, binding{r.name.level.name, c.part})
	}
	var id any
	if r.numeric {
		n := c.e.opt.NewNumericRequestID()
		id, out.Request = int(n), strconv.FormatInt(n, 10)
	} else {
		out.Request = c.e.opt.NewRequestID()
		id = out.Request
	}
	c.extra = append(c.extra, binding{"request", id})
	if r.request == requestNone {
		out.Request = ""
	}
	s := &scope{prof: c.st.prof, dev: c.st.dev, extra: c.extra, reply: c.e.opt.ReplyPrefix, now: time.Now().UnixMilli()}
	for _, send := range r.send {
		p, err := c.publication(send, s)
		if err != nil {
			return nil, callError(alwayson.BadRequest, "%s %q: %s", nounOf(r.kind), c.name, err)
		}
		out.Send = append(out.Send, p)
	}
	for _, send := range r.finally {
		p, err := c.publication(send, s)
		if err != nil {
			return nil, callError(alwayson.BadRequest, "%s %q: finally: %s", nounOf(r.kind), c.name, err)
		}
		out.Finally = append(out.Finally, p)
	}
	if len(r.replies) > 0 {
		if !r.answersRead("inputs") { // which may be large, and the call may last
			c.extra = slices.DeleteFunc(c.extra, func(b binding) bool { return b.name == "inputs" })
		}
		out.answer = c.answer
		if r.begun != nil {
			out.begun = c.begunBy
		}
	}
	return out, nil
}

// answersRead reports whether what judges the replies reads a name.
func (c *callRule) answersRead(name string) bool {
	for _, x := range []*expression{c.match, c.begun, c.result, c.errorExpr, c.echo, c.expect, c.failError, c.failMatch} {
		if x != nil && x.uses(name) {
			return true
		}
	}
	return false
}

func nounOf(k callKind) string {
	if k == callService {
		return "service"
	}
	return "property"
}

func (c *caller) publication(send sendRule, s *scope) (Publication, error) {
	topic, err := send.topic.topic(s)
	if err != nil {
		return Publication{}, err
	}
	if send.topic.uses("device") && !c.st.prof.permits(topic) {
		return Publication{}, fmt.Errorf("the topic %q lies outside the profile's allow_topics", topic)
	}
	payload, err := send.render(s)
	return Publication{Topic: topic, Payload: payload, AtMostOnce: send.atMostOnce, Retain: send.retain}, err
}
