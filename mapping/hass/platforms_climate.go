package hass

// climate: each of its topics is a property.
func (c *component) climate() {
	c.heating("auto", "off", "cool", "heat", "dry", "fan_only")
	low, high := c.amount("min_temp", nil), c.amount("max_temp", nil)
	for _, a := range []attribute{
		{suffix: "target_high", kind: "NUMBER", state: "temperature_high_state_topic", stateTemplate: "temperature_high_state_template",
			command: "temperature_high_command_topic", commandTemplate: "temperature_high_command_template", low: low, high: high},
		{suffix: "target_low", kind: "NUMBER", state: "temperature_low_state_topic", stateTemplate: "temperature_low_state_template",
			command: "temperature_low_command_topic", commandTemplate: "temperature_low_command_template", low: low, high: high},
		{suffix: "current_humidity", kind: "NUMBER", unit: "%", state: "current_humidity_topic", stateTemplate: "current_humidity_template"},
		{suffix: "target_humidity", kind: "NUMBER", unit: "%", state: "target_humidity_state_topic", stateTemplate: "target_humidity_state_template",
			command: "target_humidity_command_topic", commandTemplate: "target_humidity_command_template", low: c.amount("min_humidity", 30), high: c.amount("max_humidity", 99)},
		{suffix: "fan_mode", kind: "STRING", state: "fan_mode_state_topic", stateTemplate: "fan_mode_state_template",
			command: "fan_mode_command_topic", commandTemplate: "fan_mode_command_template", texts: c.words("fan_modes", "auto", "low", "medium", "high")},
		{suffix: "swing_mode", kind: "STRING", state: "swing_mode_state_topic", stateTemplate: "swing_mode_state_template",
			command: "swing_mode_command_topic", commandTemplate: "swing_mode_command_template", texts: c.words("swing_modes", "on", "off")},
		{suffix: "swing_horizontal_mode", kind: "STRING", state: "swing_horizontal_mode_state_topic", stateTemplate: "swing_horizontal_mode_state_template",
			command: "swing_horizontal_mode_command_topic", commandTemplate: "swing_horizontal_mode_command_template", texts: c.words("swing_horizontal_modes", "on", "off")},
		{suffix: "action", kind: "STRING", state: "action_topic", stateTemplate: "action_template"},
	} {
		a.wide = true
		c.attribute(a)
	}
	c.preset("preset_mode_value_template")
}

// heating is what climate and water_heater have in common.
func (c *component) heating(modes ...any) {
	c.attribute(attribute{suffix: "mode", kind: "STRING", wide: true, state: "mode_state_topic", stateTemplate: "mode_state_template",
		command: "mode_command_topic", commandTemplate: "mode_command_template", texts: c.words("modes", modes...)})
	c.attribute(attribute{suffix: "target", kind: "NUMBER", wide: true, state: "temperature_state_topic", stateTemplate: "temperature_state_template",
		command: "temperature_command_topic", commandTemplate: "temperature_command_template", low: c.amount("min_temp", nil), high: c.amount("max_temp", nil), unit: c.degrees()})
	c.attribute(attribute{suffix: "current", kind: "NUMBER", wide: true, state: "current_temperature_topic", stateTemplate: "current_temperature_template", unit: c.degrees()})
	c.attribute(attribute{suffix: "power", kind: "BOOLEAN", state: "power_state_topic", stateTemplate: "power_state_template",
		command: "power_command_topic", commandTemplate: "power_command_template", on: c.word("payload_on", "ON"), off: c.word("payload_off", "OFF")})
}

func (c *component) degrees() any {
	if u := plain(c.config["temperature_unit"]); u != "" {
		return "°" + u
	}
	return nil
}

func (c *component) heater() {
	c.heating("off", "eco", "electric", "gas", "heat_pump", "high_demand", "performance")
}

func (c *component) humidifier() {
	c.onOff()
	for _, a := range []attribute{
		{suffix: "target", kind: "NUMBER", unit: "%", state: "target_humidity_state_topic", stateTemplate: "target_humidity_state_template",
			command: "target_humidity_command_topic", commandTemplate: "target_humidity_command_template", low: c.amount("min_humidity", 0), high: c.amount("max_humidity", 100)},
		{suffix: "current", kind: "NUMBER", unit: "%", state: "current_humidity_topic", stateTemplate: "current_humidity_template"},
		{suffix: "mode", kind: "STRING", state: "mode_state_topic", stateTemplate: "mode_state_template",
			command: "mode_command_topic", commandTemplate: "mode_command_template", texts: c.words("modes")},
		{suffix: "action", kind: "STRING", state: "action_topic", stateTemplate: "action_template"},
	} {
		c.attribute(a)
	}
}
