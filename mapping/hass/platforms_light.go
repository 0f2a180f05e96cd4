package hass

import "fmt"

// light: of one of the three schemas.
func (c *component) light() {
	switch schema := c.word("schema", "basic"); schema {
	case "basic", "default":
		c.basicLight()
	case "json":
		c.jsonLight()
	case "template":
		c.templateLight()
	default:
		c.left("schema: %q is not one of basic, json and template", schema)
	}
}

// basicLight has a topic for each value.
func (c *component) basicLight() {
	scale := c.amount("brightness_scale", 255)
	if c.word("on_command_type", "last") == "brightness" {
		c.brightnessSwitch(scale)
	} else {
		c.onOff()
	}
	colours := func(names ...string) map[string]string { return parted("value", names) }
	c.attribute(attribute{suffix: "brightness", kind: "NUMBER", state: "brightness_state_topic", stateTemplate: "brightness_value_template",
		command: "brightness_command_topic", commandTemplate: "brightness_command_template", low: 0, high: scale})
	c.attribute(attribute{suffix: "color_temp", kind: "NUMBER", state: "color_temp_state_topic", stateTemplate: "color_temp_value_template",
		command: "color_temp_command_topic", commandTemplate: "color_temp_command_template"})
	c.attribute(attribute{suffix: "effect", kind: "STRING", state: "effect_state_topic", stateTemplate: "effect_value_template",
		command: "effect_command_topic", commandTemplate: "effect_command_template", texts: c.words("effect_list")})
	c.attribute(attribute{suffix: "color_mode", kind: "STRING", state: "color_mode_state_topic", stateTemplate: "color_mode_value_template"})
	c.attribute(attribute{suffix: "white", kind: "NUMBER", command: "white_command_topic", low: 0, high: c.amount("white_scale", 255)})
	for _, colour := range []struct {
		suffix string
		names  map[string]string
	}{
		{"rgb", colours("red", "green", "blue")}, {"rgbw", colours("red", "green", "blue", "white")},
		{"rgbww", colours("red", "green", "blue", "cold_white", "warm_white")}, {"hs", colours("hue", "sat")}, {"xy", colours("x", "y")},
	} {
		from := c.source(colour.suffix+"_state_topic", colour.suffix+"_value_template")
		value := ""
		if from != nil {
			value = from.text()
		}
		to := c.sink(colour.suffix+"_command_topic", colour.suffix+"_command_template", "value", colour.names)
		c.property(colour.suffix, map[string]any{"type": "STRING"}, from, value, to, false)
	}
}

// parted names the parts of "1,2,3" as numbers.
func parted(of string, names []string) map[string]string {
	parts := make(map[string]string, len(names))
	for i, name := range names {
		parts[name] = fmt.Sprintf(`number(trim(split(%s, ",")[%d]))`, of, i)
	}
	return parts
}

// brightnessSwitch is a light that is switched on by its brightness.
func (c *component) brightnessSwitch(scale any) {
	off := c.sink("command_topic", "", quote(c.word("payload_off", "OFF")), nil)
	bright := c.sink("brightness_command_topic", "brightness_command_template", numberText(scale), nil)
	if off == nil || bright == nil {
		return
	}
	if off.topic != bright.topic {
		c.left("on_command_type brightness is supported where brightness_command_topic is command_topic")
		return
	}
	from := c.source("state_topic", "state_value_template")
	value := ""
	if from != nil {
		value = from.truth(c.word("payload_on", "ON"), c.word("payload_off", "OFF"))
	}
	to := &sink{off.topic, fmt.Sprintf("${value ? jinjaText(%s) : %s}", numberText(scale), quote(c.word("payload_off", "OFF")))}
	c.property("", map[string]any{"type": "BOOLEAN"}, from, value, to, false)
}

// jsonLight has one topic with an object for the state, and one for commands.
func (c *component) jsonLight() {
	l := jsonLight{component: c, from: c.source("state_topic"), topic: c.topic("command_topic")}
	if l.from != nil {
		l.from.format = "json"
	}
	l.member("", "state", map[string]any{"type": "BOOLEAN"}, `payload.state == "ON" ? true : payload.state == "OFF" ? false : nil`, `{"state": ${value ? "ON" : "OFF"}}`)
	modes, _ := c.words("supported_color_modes").([]any)
	number := func(most any) map[string]any { return map[string]any{"type": "NUMBER", "min": 0, "max": most} }
	if c.flag("brightness") || len(modes) > 0 && !(len(modes) == 1 && modes[0] == "onoff") {
		l.settable("brightness", number(c.amount("brightness_scale", 255)))
	}
	if c.flag("color_temp") || oneOf(modes, "color_temp") {
		l.settable("color_temp", map[string]any{"type": "NUMBER"})
	}
	if oneOf(modes, "rgb", "rgbw", "rgbww", "hs", "xy") {
		l.settable("color", map[string]any{"type": "JSON"})
	}
	if oneOf(modes, "white") {
		l.settable("white", number(c.amount("white_scale", 255)))
	}
	if len(modes) > 0 {
		l.member("color_mode", "color_mode", map[string]any{"type": "STRING"}, "payload.color_mode", "")
	}
	if c.flag("effect") || c.config["effect_list"] != nil {
		l.settable("effect", map[string]any{"type": "STRING", "values": c.words("effect_list")})
	}
	if l.topic == "" {
		return
	}
	if c.toggles {
		c.service("Toggle", "Toggle", nil, &sink{l.topic, `{"state": "TOGGLE"}`})
	}
	c.service("Command", "sends an object as it is, for example with a transition", map[string]any{"command": map[string]any{"type": "JSON", "required": true}},
		&sink{l.topic, "${toJSON(inputs.command)}"})
}

func oneOf(list []any, names ...string) bool {
	for _, item := range list {
		for _, name := range names {
			if item == name {
				return true
			}
		}
	}
	return false
}

// jsonLight is a light whose values are members of one object.
type jsonLight struct {
	*component
	from  *source
	topic string // of commands; "" there are none
}

// member declares one value, where a message has it; command "" is none.
func (l *jsonLight) member(suffix, key string, definition map[string]any, value, command string) {
	var s *source
	var to *sink
	if l.from != nil {
		copied := *l.from
		s = &copied
		s.when = "payload." + key + " != nil"
	}
	if l.topic != "" && command != "" {
		to = &sink{l.topic, command}
	}
	l.property(suffix, definition, s, value, to, false)
}

// settable declares a value that is written by its own name, and switches the light on.
func (l *jsonLight) settable(key string, definition map[string]any) {
	l.member(key, key, definition, "payload."+key, `{"state": "ON", "`+key+`": ${value}}`)
}

// templateLight has templates for what is sent and what is received.
func (c *component) templateLight() {
	unset := map[string]string{"state": `"on"`}
	for _, name := range []string{"brightness", "color_temp", "color_temp_kelvin", "red", "green", "blue", "hue", "sat", "flash", "transition", "effect"} {
		unset[name] = "nil"
	}
	with := func(name, code string) map[string]string {
		out := map[string]string{}
		for k, v := range unset {
			out[k] = v
		}
		out[name] = code
		return out
	}
	from := c.source("state_topic", "state_template")
	on := c.sink("command_topic", "command_on_template", "nil", unset)
	off := c.sink("command_topic", "command_off_template", "nil", with("state", `"off"`))
	value := ""
	if c.config["state_template"] == nil {
		from = nil
	}
	if from != nil {
		value = from.truth("on", "off")
	}
	var to *sink
	if on != nil && off != nil {
		to = &sink{on.topic, "${value ? " + inner(on.payload) + " : " + inner(off.payload) + "}"}
	}
	c.property("", map[string]any{"type": "BOOLEAN"}, from, value, to, false)
	for _, p := range []struct{ suffix, key, kind string }{{"brightness", "brightness_template", "NUMBER"}, {"color_temp", "color_temp_template", "NUMBER"}, {"effect", "effect_template", "STRING"}} {
		if c.config[p.key] == nil {
			continue
		}
		s := c.source("state_topic", p.key)
		if s == nil {
			continue
		}
		value, written := s.text(), "value"
		definition := map[string]any{"type": p.kind}
		if p.kind == "NUMBER" {
			value, written = s.number(), numberWritten
		}
		if p.suffix == "effect" {
			definition["values"] = c.words("effect_list")
		}
		c.property(p.suffix, definition, s, value, c.sink("command_topic", "command_on_template", "nil", with(p.suffix, written)), false)
	}
	for _, key := range []string{"red_template", "green_template", "blue_template"} {
		if c.config[key] != nil {
			c.left("%s is not supported: the colour of a light with templates cannot be set or read", key)
			return
		}
	}
}

// inner is the expression of a payload that is one expression.
func inner(payload string) string { return payload[len("${") : len(payload)-1] }
