package bridge

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// thingFits reports whether any meaning of a message is about a Thing whose
// name holds part, which is in lower case.
func thingFits(part string, effects []mapping.Effect) bool {
	if part == "" {
		return true
	}
	for _, e := range effects {
		if strings.Contains(strings.ToLower(thingOf(e)), part) {
			return true
		}
	}
	return false
}

func thingOf(e mapping.Effect) string {
	switch e := e.(type) {
	case *mapping.Announced:
		return e.Device.Thing
	case *mapping.Left:
		return e.Thing
	case *mapping.Stays:
		return e.Thing
	case *mapping.Presence:
		return e.Thing
	case *mapping.Hold:
		return e.Thing
	case *mapping.Sleep:
		return e.Thing
	case *mapping.Gathering:
		return e.Thing
	case *mapping.Values:
		return e.Thing
	case *mapping.Event:
		return e.Thing
	case *mapping.Reply:
		return e.Thing
	case *mapping.Upward:
		return e.Thing
	case *mapping.Unclaimed:
		return e.Thing
	case *mapping.Rejected:
		return e.Thing
	}
	return ""
}

// traceStepsOf tells a message's meanings, the first of them; more is how many
// are left out.
func traceStepsOf(effects []mapping.Effect) (steps []TraceStep, more int) {
	add := func(s TraceStep) {
		if len(steps) == traceSteps {
			more++
			return
		}
		steps = append(steps, s)
	}
	for _, e := range effects {
		v, ok := e.(*mapping.Values)
		if !ok {
			add(traceStep(e))
			continue
		}
		for i := range v.Values {
			if len(steps) == traceSteps {
				more += len(v.Values) - i
				break
			}
			p := &v.Values[i]
			add(TraceStep{Rule: v.RuleOf(i), What: "value", Thing: v.Thing, Name: p.Name, Value: valueText(p.Value), Type: p.Value.Type().String()})
		}
	}
	return steps, more
}

func traceStep(e mapping.Effect) TraceStep {
	s := TraceStep{Thing: thingOf(e)}
	switch e := e.(type) {
	case *mapping.Announced:
		s.What, s.Rule = "announced", e.Rule
	case *mapping.Left:
		s.What, s.Rule = "left", e.Rule
	case *mapping.Stays:
		s.What = "stays"
	case *mapping.Presence:
		s.What, s.Rule, s.Name = "presence", e.Rule, "offline"
		if e.Online {
			s.Name = "online"
		}
	case *mapping.Hold:
		s.What, s.Rule, s.Value = "hold", e.Rule, fmt.Sprint(e.On)
	case *mapping.Sleep:
		s.What, s.Rule, s.Value = "sleep", e.Rule, fmt.Sprint(e.On)
	case *mapping.Gathering:
		s.What = "gathered"
	case *mapping.Event:
		s.What, s.Rule, s.Name = "event", e.Rule, e.Name
		if e.Data != nil {
			s.Value = valueText(alwayson.NewTable(e.Data))
		}
	case *mapping.Reply:
		s.What, s.Rule = "reply", e.Input.Rule()
	case *mapping.Upward:
		s.What, s.Rule, s.Name = "upward", e.Rule, e.Service
	case *mapping.Unclaimed:
		s.What, s.Rule = "waits", e.Profile
	case *mapping.Rejected:
		s.What, s.Rule, s.Type, s.Value = "rejected", e.Rule, string(e.Reason), cutAt(e.Detail, traceDetail)
	}
	return s
}

// valueText is a value for people, in JSON, cut.
func valueText(v alwayson.Value) string {
	const most = 4096 // bytes of a value that are looked at
	if n := (&alwayson.PropertyValue{Value: v}).EncodedSize(); n > most {
		return fmt.Sprintf("%s of %d bytes", v.Type(), n)
	}
	return cutAt(string(mapping.AppendJSON(nil, v)), traceValue)
}

// payloadText is the begin of a payload: text, or 0x and hexadecimal digits.
func payloadText(b []byte) string {
	head, more := b, ""
	if len(b) > tracePayload {
		head, more = b[:tracePayload], "…"
		for range utf8.UTFMax - 1 { // of a character that the cut went through
			if r, n := utf8.DecodeLastRune(head); r == utf8.RuneError && n == 1 {
				head = head[:len(head)-1]
			}
		}
	}
	if utf8.Valid(head) && bytes.IndexByte(head, 0) < 0 {
		return string(head) + more
	}
	if len(b) > tracePayload/4 {
		head, more = b[:tracePayload/4], "…"
	}
	return "0x" + hex.EncodeToString(head) + more
}
