package hass

// cover: its state and positions, and services that move it.
func (c *component) cover() {
	if s := c.source("state_topic", "value_template"); s != nil {
		c.property("state", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
	c.position("position", "position_topic", "position_template", "set_position_topic", "set_position_template",
		c.amount("position_closed", 0), c.amount("position_open", 100), "position")
	c.position("tilt", "tilt_status_topic", "tilt_status_template", "tilt_command_topic", "tilt_command_template",
		c.amount("tilt_min", 0), c.amount("tilt_max", 100), "tilt_position")
	c.moves(true)
	if c.config["payload_stop_tilt"] != nil {
		c.command("StopTilt", "command_topic", "", c.word("payload_stop_tilt", ""))
	}
}

// position is a place between two ends, in the device's own measure.
func (c *component) position(suffix, state, stateTemplate, command, template string, closed, open any, variable string) {
	low, high := closed, open
	if a, b := toFloat(closed), toFloat(open); a > b {
		low, high = open, closed
	}
	from := c.source(state, stateTemplate, "value_template")
	if suffix == "tilt" {
		from = c.source(state, stateTemplate)
	}
	value := ""
	if from != nil {
		value = from.number()
	}
	to := c.sink(command, template, numberWritten, map[string]string{variable: numberWritten, "position_open": numberText(c.amount("position_open", 100)),
		"position_closed": numberText(c.amount("position_closed", 0)), "tilt_min": numberText(c.amount("tilt_min", 0)), "tilt_max": numberText(c.amount("tilt_max", 100))})
	c.property(suffix, map[string]any{"type": "NUMBER", "min": low, "max": high}, from, value, to, c.flag("tilt_optimistic") && suffix == "tilt")
}

func toFloat(v any) float64 { f, _ := number(v); return f }

func numberText(v any) string { s, _ := text(v); return s }

// moves are the services Open, Close and Stop, where their words are not null.
func (c *component) moves(stops bool) {
	for _, m := range []struct{ suffix, key, word string }{{"Open", "payload_open", "OPEN"}, {"Close", "payload_close", "CLOSE"}, {"Stop", "payload_stop", "STOP"}} {
		if !c.off(m.key) && (m.suffix != "Stop" || stops) {
			c.command(m.suffix, "command_topic", "command_template", c.word(m.key, m.word))
		}
	}
}

// valve: like a cover, with one topic for all.
func (c *component) valve() {
	s := c.source("state_topic", "value_template")
	stops := c.config["payload_stop"] != nil
	if !c.flag("reports_position") {
		if s != nil {
			c.property("state", map[string]any{"type": "STRING"}, s, memberOr(s, "state"), nil, false)
		}
		c.moves(stops)
		return
	}
	value := ""
	if s != nil {
		position, word := memberOr(s, "position"), memberOr(s, "state")
		value = position
		state := *s
		s.when = "jinjaFloat(" + position + ", nil) != nil"
		state.when = "let p = " + word + "; p != nil and jinjaFloat(p, nil) == nil"
		c.property("state", map[string]any{"type": "STRING"}, &state, word, nil, false)
	}
	low, high := c.amount("position_closed", 0), c.amount("position_open", 100)
	if toFloat(low) > toFloat(high) {
		low, high = high, low
	}
	to := c.sink("command_topic", "command_template", numberWritten, map[string]string{"position": numberWritten})
	c.property("position", map[string]any{"type": "NUMBER", "min": low, "max": high}, s, value, to, false)
	if stops {
		c.command("Stop", "command_topic", "command_template", c.word("payload_stop", ""))
	}
}

// memberOr is a member where the payload is an object, else the payload.
func memberOr(s *source, key string) string {
	if s.raw {
		s.format = "auto"
	}
	return "(type(" + s.code + `) == "map" ? ` + s.code + "." + key + " : jinjaText(" + s.code + "))"
}

// vacuum: its state and fan speed, and a service for each thing that it can do.
func (c *component) vacuum() {
	if s := c.source("state_topic"); s != nil {
		s.format = "json"
		c.property("", map[string]any{"type": "STRING"}, s, "payload.state", nil, false)
		speed, battery := *s, *s
		s.when, speed.when, battery.when = "payload.state != nil", "payload.fan_speed != nil", "payload.battery_level != nil"
		to := c.sink("set_fan_speed_topic", "", "value", nil)
		c.property("fan_speed", map[string]any{"type": "STRING", "values": c.words("fan_speed_list")}, &speed, "payload.fan_speed", to, false)
		c.property("battery_level", map[string]any{"type": "NUMBER", "unit": "%"}, &battery, "payload.battery_level", nil, false)
	}
	features, _ := c.words("supported_features", "start", "stop", "return_home", "status", "battery", "clean_spot").([]any)
	for _, f := range []struct{ feature, suffix, key, word string }{
		{"start", "Start", "payload_start", "start"}, {"stop", "Stop", "payload_stop", "stop"}, {"pause", "Pause", "payload_pause", "pause"},
		{"return_home", "ReturnToBase", "payload_return_to_base", "return_to_base"}, {"clean_spot", "CleanSpot", "payload_clean_spot", "clean_spot"},
		{"locate", "Locate", "payload_locate", "locate"},
	} {
		for _, has := range features {
			if has == f.feature {
				c.command(f.suffix, "command_topic", "", c.word(f.key, f.word))
			}
		}
	}
	c.service("SendCommand", "sends any command", map[string]any{"command": map[string]any{"type": "STRING", "required": true}},
		c.sink("send_command_topic", "", "inputs.command", nil))
}

// mower: what it does, and services that start, pause and dock it.
func (c *component) mower() {
	if s := c.source("activity_state_topic", "activity_value_template"); s != nil {
		c.property("", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
	c.command("Start", "start_mowing_command_topic", "start_mowing_command_template", "start_mowing")
	c.command("Pause", "pause_command_topic", "pause_command_template", "pause")
	c.command("Dock", "dock_command_topic", "dock_command_template", "dock")
}
