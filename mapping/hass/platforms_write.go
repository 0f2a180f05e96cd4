package hass

import "fmt"

// onOff: a switch, and the state of what else is on or off.
func (c *component) onOff() {
	on, off := c.word("payload_on", "ON"), c.word("payload_off", "OFF")
	from := c.source("state_topic", "state_value_template", "value_template")
	value := ""
	if from != nil {
		value = from.truth(c.word("state_on", on), c.word("state_off", off))
	}
	to := c.sink("command_topic", "command_template", choose(on, off), nil)
	c.property("", map[string]any{"type": "BOOLEAN"}, from, value, to, false)
	if c.toggles && c.platform == "switch" {
		c.command("Toggle", "command_topic", "", "TOGGLE")
	}
}

// choose is an expression that yields one of two texts for a BOOLEAN written.
func choose(on, off string) string { return "(value ? " + quote(on) + " : " + quote(off) + ")" }

func (c *component) siren() {
	if c.config["command_off_template"] != nil {
		c.left("command_off_template is not supported")
		return
	}
	c.onOff()
}

func (c *component) lock() {
	locked := c.word("state_locked", "LOCKED")
	from := c.source("state_topic", "value_template")
	value := ""
	if from != nil {
		value = from.truth(locked, c.word("state_unlocked", "UNLOCKED"))
		state := *from
		c.property("state", map[string]any{"type": "STRING"}, &state, from.text(), nil, false)
	}
	to := c.sink("command_topic", "command_template", choose(c.word("payload_lock", "LOCK"), c.word("payload_unlock", "UNLOCK")), nil)
	c.property("", map[string]any{"type": "BOOLEAN"}, from, value, to, false)
	if c.config["payload_open"] != nil {
		c.command("Open", "command_topic", "command_template", c.word("payload_open", ""))
	}
}

// numberWritten is a NUMBER written: 7 and not 7.0.
const numberWritten = "jinjaWhole(value)"

// attribute is one settable value among several of a component.
type attribute struct {
	suffix                   string
	kind                     string // NUMBER, STRING, BOOLEAN
	state, stateTemplate     string // keys; where there is no template value_template counts if wide
	command, commandTemplate string
	wide                     bool
	low, high                any
	unit                     any
	texts                    any
	on, off                  string // of a BOOLEAN
	variable                 string // a further name of the value in the command template
}

func (c *component) attribute(a attribute) {
	templates := []string{a.stateTemplate}
	if a.wide {
		templates = append(templates, "value_template")
	}
	var from *source
	if a.state != "" {
		from = c.source(a.state, templates...)
	}
	value, written := "", "value"
	switch a.kind {
	case "BOOLEAN":
		written = choose(a.on, a.off)
	case "NUMBER":
		written = numberWritten
	}
	if from != nil {
		switch a.kind {
		case "NUMBER":
			value = from.number()
		case "BOOLEAN":
			value = from.truth(a.on, a.off)
		default:
			value = from.text()
		}
	}
	var to *sink
	if a.command != "" {
		more := map[string]string{}
		if a.variable != "" {
			more[a.variable] = written
		}
		to = c.sink(a.command, a.commandTemplate, written, more)
	}
	definition := map[string]any{"type": a.kind, "unit": a.unit}
	if to != nil {
		definition["min"], definition["max"], definition["values"] = a.low, a.high, a.texts
	}
	c.property(a.suffix, definition, from, value, to, false)
}

func (c *component) number() {
	c.attribute(attribute{kind: "NUMBER", state: "state_topic", stateTemplate: "value_template", command: "command_topic", commandTemplate: "command_template",
		low: c.amount("min", 1), high: c.amount("max", 100), unit: c.unit()})
}

func (c *component) choice() {
	c.attribute(attribute{kind: "STRING", state: "state_topic", stateTemplate: "value_template", command: "command_topic", commandTemplate: "command_template",
		texts: c.words("options")})
}

func (c *component) input() {
	c.attribute(attribute{kind: "STRING", state: "state_topic", stateTemplate: "value_template", command: "command_topic", commandTemplate: "command_template"})
}

func (c *component) button() {
	c.command("Press", "command_topic", "command_template", c.word("payload_press", "PRESS"))
}

func (c *component) scene() {
	c.command("Press", "command_topic", "", c.word("payload_on", "ON"))
}

func (c *component) notify() {
	to := c.sink("command_topic", "command_template", "inputs.message", nil)
	c.service("Send", "sends a message", map[string]any{"message": map[string]any{"type": "STRING", "required": true}}, to)
}

func (c *component) fan() {
	c.onOff()
	low, high := c.amount("speed_range_min", 1), c.amount("speed_range_max", 100)
	speed := attribute{suffix: "percentage", kind: "NUMBER", state: "percentage_state_topic", stateTemplate: "percentage_value_template",
		command: "percentage_command_topic", commandTemplate: "percentage_command_template", low: 0, high: high}
	if fmt.Sprint(low) != "1" || fmt.Sprint(high) != "100" {
		speed.suffix = "speed" // in the device's own steps
	}
	c.attribute(speed)
	c.attribute(attribute{suffix: "oscillation", kind: "BOOLEAN", state: "oscillation_state_topic", stateTemplate: "oscillation_value_template",
		command: "oscillation_command_topic", commandTemplate: "oscillation_command_template",
		on: c.word("payload_oscillation_on", "oscillate_on"), off: c.word("payload_oscillation_off", "oscillate_off")})
	c.attribute(attribute{suffix: "direction", kind: "STRING", state: "direction_state_topic", stateTemplate: "direction_value_template",
		command: "direction_command_topic", commandTemplate: "direction_command_template",
		texts: []any{c.word("payload_direction_forward", "forward"), c.word("payload_direction_reverse", "reverse")}})
	c.preset("preset_mode_value_template")
}

func (c *component) preset(template string) {
	c.attribute(attribute{suffix: "preset_mode", kind: "STRING", state: "preset_mode_state_topic", stateTemplate: template,
		command: "preset_mode_command_topic", commandTemplate: "preset_mode_command_template", texts: c.words("preset_modes")})
}

// alarm: its state, and a service for each way to arm it.
func (c *component) alarm() {
	if s := c.source("state_topic", "value_template"); s != nil {
		c.property("", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
	var inputs map[string]any
	code := "nil"
	if c.config["code"] != nil || c.config["command_template"] != nil {
		inputs, code = map[string]any{"code": map[string]any{"type": "STRING"}}, `(inputs.code ?? "")`
	}
	for _, a := range []struct{ suffix, key, word string }{
		{"ArmHome", "payload_arm_home", "ARM_HOME"}, {"ArmAway", "payload_arm_away", "ARM_AWAY"}, {"ArmNight", "payload_arm_night", "ARM_NIGHT"},
		{"Disarm", "payload_disarm", "DISARM"}, {"Trigger", "payload_trigger", "TRIGGER"},
	} {
		action := quote(c.word(a.key, a.word))
		c.service(a.suffix, a.suffix, inputs, c.sink("command_topic", "command_template", action, map[string]string{"action": action, "code": code}))
	}
}
