package main

import (
	"fmt"
	"slices"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// showEffect says in words what a message means, one line or more.
func showEffect(e mapping.Effect) []string {
	switch e := e.(type) {
	case *mapping.Announced:
		return showDevice(e.Device)
	case *mapping.Left:
		return []string{"left " + e.Thing}
	case *mapping.Presence:
		who := e.Thing
		if who == "" {
			who = "every device of " + e.Profile
		}
		return []string{"presence " + who + ": " + choose(e.Online, "online", "offline")}
	case *mapping.Hold:
		return []string{"hold " + e.Thing + ": " + choose(e.On, "values are kept back", "values go on")}
	case *mapping.Values:
		var lines []string
		for _, v := range e.Values {
			lines = append(lines, fmt.Sprintf("value %s.%s = %s", e.Thing, v.Name, showValue(v)))
		}
		return lines
	case *mapping.Event:
		return []string{fmt.Sprintf("event %s.%s(%s)", e.Thing, e.Name, showRow(e.Data))}
	case *mapping.Reply:
		return []string{fmt.Sprintf("reply %s to request %q", e.Thing, e.Request)}
	case *mapping.Upward:
		if e.Problem != "" {
			return []string{fmt.Sprintf("up %s.%s: %s", e.Thing, e.Service, e.Problem)}
		}
		return []string{fmt.Sprintf("up %s.%s, answered on %s", e.Thing, e.Service, e.ReplyTopic)}
	case *mapping.Unclaimed:
		who := e.Thing
		if who == "" {
			who = "it cannot be told yet which"
		}
		return []string{fmt.Sprintf("unclaimed: a device of %s that has not announced itself (%s)", e.Profile, who)}
	case *mapping.Rejected:
		return []string{strings.TrimSpace(fmt.Sprintf("rejected (%s) %s", e.Reason, e.Detail))}
	default:
		return []string{fmt.Sprintf("%T", e)}
	}
}

// showResult is what a call ended with.
func showResult(v alwayson.Value) string {
	if v.IsNothing() {
		return "done"
	}
	return fmt.Sprintf("%s %s", v.Type(), mapping.AppendJSON(nil, v))
}

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func showValue(v alwayson.PropertyValue) string {
	text := fmt.Sprintf("%s %s", v.Value.Type(), mapping.AppendJSON(nil, v.Value))
	if v.Quality != "" && v.Quality != "GOOD" {
		text += " " + v.Quality
	}
	return text
}

// showDevice lists what a device declares.
func showDevice(d *mapping.Device) []string {
	lines := []string{fmt.Sprintf("announced %s by %s", d.Thing, strings.Join(d.Sources, ", "))}
	if d.Definitions == nil {
		return lines
	}
	if t := d.Definitions.Template; t != "" {
		lines = append(lines, "  template "+t)
	}
	if id := d.Definitions.Identifier; id != "" {
		lines = append(lines, "  identifier "+id)
	}
	for _, name := range sortedNames(d.Definitions.Properties) {
		p := d.Definitions.Properties[name]
		lines = append(lines, fmt.Sprintf("  property %s %s%s", name, p.Type, choose(p.Writable, ", writable", "")))
	}
	for _, name := range sortedNames(d.Definitions.Services) {
		s := d.Definitions.Services[name]
		var inputs []string
		for _, in := range s.Inputs {
			inputs = append(inputs, in.Name+" "+in.Type.String())
		}
		lines = append(lines, fmt.Sprintf("  service %s(%s) %s", name, strings.Join(inputs, ", "), s.Output.Type))
	}
	for _, name := range sortedNames(d.Definitions.Events) {
		lines = append(lines, "  event "+name)
	}
	return lines
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
