package cases

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Show says in words what an effect means, one line or more, without line ends.
func Show(e mapping.Effect) []string {
	switch e := e.(type) {
	case *mapping.Announced:
		return showDevice(e.Device)
	case *mapping.Left:
		return []string{"left " + e.Thing}
	case *mapping.Stays: // nothing changes
		return nil
	case *mapping.Presence:
		who := e.Thing
		if who == "" {
			who = "every device of " + e.Profile
		}
		return []string{"presence " + who + ": " + choose(e.Online, "online", choose(e.Alone, "offline, alone", "offline"))}
	case *mapping.Hold:
		return []string{"hold " + e.Thing + ": " + choose(e.On, "values are kept back", "values go on")}
	case *mapping.Sleep:
		return []string{"sleep " + e.Thing + ": " + choose(e.On, "what is sent to it waits", "it is awake")}
	case *mapping.Gathering:
		return []string{fmt.Sprintf("a part of what announces %s; it counts once nothing more has come for %s", e.Thing, e.After)}
	case *mapping.Values:
		var lines []string
		for _, v := range e.Values {
			lines = append(lines, fmt.Sprintf("%s %s.%s = %s", choose(e.History, "past value", "value"), e.Thing, v.Name, showValue(v)))
		}
		return lines
	case *mapping.Event:
		return []string{fmt.Sprintf("event %s.%s(%s)", e.Thing, e.Name, Row(e.Data))}
	case *mapping.Reply:
		if e.Request == "" {
			return []string{"reply " + e.Thing}
		}
		return []string{fmt.Sprintf("reply %s to request %q", e.Thing, e.Request)}
	case *mapping.Upward:
		if e.Unannounced {
			return []string{fmt.Sprintf("up %s: refused on %s, the device has not announced itself", e.Service, e.ReplyTopic)}
		}
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
		if e.Reason == mapping.ReasonTime { // the value comes all the same
			return []string{strings.TrimSpace(fmt.Sprintf("noted (%s) %s: the receive time is used instead", e.Reason, e.Detail))}
		}
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
	lines := []string{fmt.Sprintf("announced %s by %s", d.Thing, mapping.TopicsText(d.Sources, ", "))}
	if mapping.LongThingName(d.Thing) {
		lines = append(lines, "  warning: the name has over 127 bytes; parts of the platform may cut it")
	}
	if d.Definitions == nil {
		return lines
	}
	if t := d.Definitions.Template; t != "" {
		lines = append(lines, "  template "+t)
	}
	if id := d.Definitions.Identifier; id != "" {
		lines = append(lines, "  identifier "+id)
	}
	if text := d.Definitions.Description; text != "" {
		lines = append(lines, "  description "+text)
	}
	if d.Parent != "" {
		lines = append(lines, "  parent "+d.Parent)
	}
	for _, name := range sorted(d.Definitions.Properties) {
		p := d.Definitions.Properties[name]
		lines = append(lines, "  property "+name+" "+showProperty(p))
	}
	for _, name := range sorted(d.Definitions.Services) {
		s := d.Definitions.Services[name]
		var inputs []string
		for _, in := range s.Inputs {
			inputs = append(inputs, in.Name+" "+in.Type.String())
		}
		if s.Open {
			inputs = append(inputs, "…")
		}
		lines = append(lines, fmt.Sprintf("  service %s(%s) %s", name, strings.Join(inputs, ", "), s.Output.Type))
	}
	for _, name := range sorted(d.Definitions.Events) {
		lines = append(lines, "  event "+name)
	}
	for _, text := range d.Skipped {
		lines = append(lines, "  left out: "+text)
	}
	return lines
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// showProperty says what a property's definition promises.
func showProperty(p *mapping.Property) string {
	var b strings.Builder
	b.WriteString(p.Type.String())
	if p.Unit != "" {
		b.WriteString(" in " + p.Unit)
	}
	switch {
	case p.Min != nil && p.Max != nil:
		fmt.Fprintf(&b, " from %s to %s", plainNumber(*p.Min), plainNumber(*p.Max))
	case p.Min != nil:
		fmt.Fprintf(&b, " from %s", plainNumber(*p.Min))
	case p.Max != nil:
		fmt.Fprintf(&b, " to %s", plainNumber(*p.Max))
	}
	if p.Step != nil {
		fmt.Fprintf(&b, " by %v", *p.Step)
	}
	if p.Values != nil {
		fmt.Fprintf(&b, " of %q", p.Values)
	}
	if p.Writable {
		b.WriteString(", writable")
		if p.Confirm != mapping.ConfirmSent {
			fmt.Fprintf(&b, " (%s)", p.Confirm)
		}
	}
	return b.String()
}

func plainNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Row writes the first row of a table as name=value, with commas between.
func Row(t *alwayson.InfoTable) string {
	if t == nil || len(t.Rows) == 0 {
		return ""
	}
	var parts []string
	for _, f := range t.Fields {
		parts = append(parts, fmt.Sprintf("%s=%s", f.Name, mapping.AppendJSON(nil, t.Cell(0, f.Name))))
	}
	return strings.Join(parts, ", ")
}
