package cases

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// run is one case's Engine, the calls that wait in it, and what came out.
type run struct {
	file     string
	engine   *mapping.Engine
	sessions *mapping.Sessions
	wake     time.Time // when the sessions want to be looked at; zero: not
	now      time.Time
	requests int
	waiting  []waiting
	gathered []string // Things whose announcements are gathered
	out      []string
}

// waiting is a call that has not ended, and when its time is over.
type waiting struct {
	*mapping.Call
	until time.Time
	begun bool // its device is at it
}

// start makes the Engine, once.
func (c *run) start(list *yaml.Node) error {
	if c.engine != nil {
		return nil
	}
	profiles, problems := mapping.Load(list, c.file, presets.Open)
	var errs []error
	for _, p := range problems {
		if !p.Warning {
			errs = append(errs, p)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	next := func() int { c.requests++; return c.requests }
	c.engine = mapping.NewEngine(profiles, mapping.Options{
		NewRequestID:        func() string { return fmt.Sprintf("request-%d", next()) },
		NewNumericRequestID: func() int64 { return int64(next()) },
	})
	c.sessions = c.engine.Sessions()
	return nil
}

func (c *run) say(format string, args ...any) {
	c.out = append(c.out, fmt.Sprintf(format, args...))
}

func (c *run) take() string {
	var b strings.Builder
	for _, line := range c.out {
		b.WriteString(line + "\n")
	}
	c.out = nil
	return b.String()
}

var errStep = errors.New("not a step; expected profiles, message, bytes, sparkplug, broker, call, write, read, ask, elapse or want, as thingbridge test --help shows them")

func (c *run) step(verb, rest string, data []byte) error {
	rest = strings.TrimSpace(rest)
	if verb != "message" && verb != "bytes" {
		c.settle()
	}
	switch {
	case verb == "profiles" && rest == "":
		return c.profiles(data)
	case verb == "message" && rest != "":
		c.said(rest, []byte(strings.TrimSuffix(string(data), "\n")))
		return nil
	case verb == "bytes" && rest != "":
		payload, err := hex.DecodeString(strings.Join(strings.Fields(string(data)), ""))
		if err != nil {
			return fmt.Errorf("not hexadecimal digits: %w", err)
		}
		c.said(rest, payload)
		return nil
	case verb == "sparkplug" && rest != "":
		return c.sparkplug(rest, data)
	case verb == "broker" && rest != "":
		return c.broker(rest)
	case verb == "ask" && rest != "":
		return c.ask(strings.Cut(rest, " "))
	case verb == "elapse" && rest != "":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		c.elapse(d)
		return nil
	case verb == "call" || verb == "write" || verb == "read":
		if thing, name, ok := cutThing(rest); ok {
			return c.request(verb, thing, name, data)
		}
	}
	return errStep
}

// cutThing parts a Thing's name, in quotes where it holds spaces, from the name
// that follows.
func cutThing(text string) (thing, name string, ok bool) {
	if quoted, isQuoted := strings.CutPrefix(text, `"`); isQuoted {
		thing, name, ok = strings.Cut(quoted, `" `)
	} else {
		thing, name, ok = strings.Cut(text, " ")
	}
	return thing, strings.TrimSpace(name), ok && thing != "" && strings.TrimSpace(name) != ""
}

func (c *run) profiles(data []byte) error {
	if c.engine != nil {
		return errors.New("the profiles must come first, and once")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	if len(doc.Content) == 0 {
		return errors.New("no profiles in it")
	}
	return c.start(doc.Content[0])
}

// said is a message from the broker; where is its topic, and retained behind it.
func (c *run) said(where string, payload []byte) {
	topic, retained := strings.CutSuffix(where, " retained")
	c.message(&mapping.Input{Topic: topic, Payload: payload, Retained: retained, Now: c.now})
}

// ask shows what is asked on an occasion, of a Thing or, on connect, of all.
func (c *run) ask(occasion, thing string, ofThing bool) error {
	on := mapping.AskOn(occasion)
	if ofThing == (on == mapping.AskConnect) || on != mapping.AskConnect && on != mapping.AskPresence && on != mapping.AskAnnounce {
		return errors.New("not an occasion; expected ask connect, ask presence THING or ask announce THING")
	}
	for _, a := range c.engine.Asks(on, strings.Trim(thing, `"`)) {
		again := "once"
		if a.Every > 0 {
			again = "every " + a.Every.String()
		}
		c.say("%s", strings.TrimRight(fmt.Sprintf("ask %s: %s %s", again, a.Topic, ShowPayload(a.Payload)), " "))
	}
	return nil
}

// message hands a message to the session that listens, else to the rules.
func (c *run) message(in *mapping.Input) {
	turn := mapping.Turn{Now: c.now}
	if c.sessions.Message(in, &turn) {
		c.turn(&turn)
		return
	}
	c.handle(in)
}

// handle has the rules look at a message. What is gathered is announced before the
// first that is no part of it.
func (c *run) handle(in *mapping.Input) {
	effects := c.engine.Handle(in, nil)
	gathers := slices.ContainsFunc(effects, func(e mapping.Effect) bool { _, ok := e.(*mapping.Gathering); return ok })
	if !gathers && len(c.gathered) > 0 {
		c.settle()
		effects = c.engine.Handle(in, nil)
	}
	c.effects(effects)
}

// settle announces what is gathered, as if nothing more had come for long enough.
func (c *run) settle() {
	things := c.gathered
	c.gathered = nil
	for _, thing := range things {
		c.effects(c.engine.Gathered(thing, c.now))
	}
}

func (c *run) effects(effects []mapping.Effect) {
	for _, effect := range effects {
		if e, ok := effect.(*mapping.Gathering); ok {
			if !slices.Contains(c.gathered, e.Thing) {
				c.gathered = append(c.gathered, e.Thing)
			}
			continue
		}
		for _, line := range Show(effect) {
			c.say("%s", line)
		}
		switch e := effect.(type) {
		case *mapping.Announced:
			if _, err := c.engine.Put(e.Device); err != nil {
				c.say("refused: %v", err)
			}
		case *mapping.Left:
			c.engine.Remove(e.Thing)
		case *mapping.Reply:
			c.reply(e)
		case *mapping.Values:
			c.echo(e)
		}
	}
}

// reply offers a reply to the calls that wait, oldest first.
func (c *run) reply(e *mapping.Reply) {
	late := e.Late != nil
	for i, call := range c.waiting {
		late = late && call.Request != e.Request
		if call.Thing != e.Thing || call.Route != e.Route || e.Request != "" && call.Request != e.Request {
			continue
		}
		result, err, ok := call.Answer(e.Input)
		if !ok && call.Begun(e.Input) {
			c.waiting[i].begun = true
			c.say("  %s.%s has begun", call.Thing, call.Name)
			return
		}
		if !ok {
			continue
		}
		c.waiting[i].begun = false
		c.end(i, showEnd(result, err))
		return
	}
	c.say("  nobody waits for it")
	if late {
		for _, p := range e.Late() {
			c.sent("  send", p)
		}
	}
}

// echo ends the calls that a property's value ends.
func (c *run) echo(e *mapping.Values) {
	for i := 0; i < len(c.waiting); i++ {
		call := c.waiting[i]
		if call.Thing != e.Thing || call.EchoProperty == "" {
			continue
		}
		for _, v := range e.Values {
			if v.Name != call.EchoProperty {
				continue
			}
			if call.EchoValue.IsNothing() {
				c.end(i, showEnd(v.Value, nil))
			} else if mapping.Equal(c.definition(e.Thing, v.Name), call.EchoValue, v.Value) {
				c.end(i, "done")
			} else {
				continue
			}
			i--
			break
		}
	}
}

func (c *run) definition(thing, property string) *alwayson.FieldDefinition {
	d := c.engine.Device(thing)
	if d == nil || d.Definitions.Properties[property] == nil {
		return nil
	}
	return &d.Definitions.Properties[property].FieldDefinition
}

// elapse lets time go by; what is not answered by then ends.
func (c *run) elapse(d time.Duration) {
	till := c.now.Add(d)
	for !c.wake.IsZero() && !c.wake.After(till) {
		turn := mapping.Turn{Now: c.wake}
		c.now, c.wake = c.wake, time.Time{}
		c.sessions.Elapsed(&turn)
		c.turn(&turn)
	}
	c.now = till
	for i := 0; i < len(c.waiting); i++ {
		if !c.waiting[i].until.After(c.now) {
			c.end(i, "nobody answered in time")
			i--
		}
	}
}

func (c *run) end(i int, how string) {
	call := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	c.say("  %s.%s ends: %s", call.Thing, call.Name, how)
	for _, p := range call.Finally {
		if !call.begun {
			c.sent("  send", p)
		}
	}
}

func showEnd(result alwayson.Value, err error) string {
	if err != nil {
		return showCallError(err)
	}
	return showResult(result)
}

func showCallError(err error) string {
	var failed *mapping.CallError
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s: %s", failed.Code, failed.Text)
	}
	return err.Error()
}

func (c *run) request(kind, thing, name string, data []byte) error {
	var v any
	if text := strings.TrimSpace(string(data)); text != "" {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
	}
	var call *mapping.Call
	var err error
	switch kind {
	case "call":
		inputs, _ := v.(map[string]any)
		var row []alwayson.Named
		for _, input := range sorted(inputs) {
			row = append(row, alwayson.Named{Name: input, Value: mapping.Infer(inputs[input])})
		}
		call, err = c.engine.Call(thing, name, alwayson.OneRow(row...))
	case "write":
		call, err = c.engine.Write(thing, name, mapping.Infer(v))
	default:
		call, err = c.engine.Read(thing, name)
	}
	if err != nil {
		c.say("%s %s.%s: %s", kind, thing, name, showCallError(err))
		return nil
	}
	c.say("%s %s.%s within %s", kind, thing, name, call.Timeout)
	for _, p := range call.Send {
		c.sent("  send", p)
	}
	switch {
	case call.EchoProperty != "":
		c.say("  ends once %s.%s arrives", thing, call.EchoProperty)
	case call.Confirm == mapping.ConfirmSent:
		c.say("  ends once it is sent")
		return nil
	}
	c.waiting = append(c.waiting, waiting{Call: call, until: c.now.Add(call.Timeout)})
	return nil
}
