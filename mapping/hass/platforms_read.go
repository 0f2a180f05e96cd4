package hass

import "strings"

// sensor: a number where the configuration says so, else a time or text.
func (c *component) sensor() {
	s := c.source("state_topic", "value_template")
	if s == nil {
		return
	}
	class := c.word("device_class", "")
	switch {
	case class == "timestamp":
		c.property("", map[string]any{"type": "DATETIME"}, s, "jinjaKnown("+s.code+")", nil, false)
	case c.numeric(class):
		c.property("", map[string]any{"type": "NUMBER", "unit": c.unit()}, s, s.number(), nil, false)
	default:
		c.property("", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
}

// numeric reports whether a sensor's values are numbers: those with a unit, a state
// class, a precision, or a device class that is of numbers.
func (c *component) numeric(class string) bool {
	for _, key := range []string{"unit_of_measurement", "state_class", "suggested_display_precision"} {
		if c.config[key] != nil {
			return true
		}
	}
	return class != "" && class != "date" && class != "enum" && class != "uptime"
}

func (c *component) unit() any {
	if u := plain(c.config["unit_of_measurement"]); u != "" {
		return u
	}
	return nil
}

func (c *component) binarySensor() {
	if s := c.source("state_topic", "value_template"); s != nil {
		c.property("", map[string]any{"type": "BOOLEAN"}, s, s.truth(c.word("payload_on", "ON"), c.word("payload_off", "OFF")), nil, false)
	}
	if c.config["off_delay"] != nil {
		c.left("off_delay is not supported: the value stays until the device says another")
	}
}

// event: an event of the Thing, with its type and all that came with it.
func (c *component) event() {
	s := c.source("state_topic", "value_template")
	if s == nil {
		return
	}
	data := s.code
	if s.raw {
		s.format, data = "json", "payload"
	} else if !s.path {
		data = "fromJSON(jinjaText(" + s.code + "))"
	}
	c.events = append(c.events, map[string]any{"topic": s.topic, "format": s.format, "name": c.name, "description": plain(c.config["name"]),
		"when": "not retained", // an old event is no news
		"fields": map[string]any{"event_type": map[string]any{"type": "STRING", "value": "(" + data + ").event_type"},
			"data": map[string]any{"type": "JSON", "value": data}}})
}

// trigger: an automation trigger is an event, when its payload comes.
func (c *component) trigger() {
	s := c.source("topic", "value_template")
	if s == nil {
		return
	}
	when := "not retained"
	if want := plain(c.config["payload"]); want != "" {
		when += " and " + s.text() + " == " + quote(want)
	}
	c.events = append(c.events, map[string]any{"topic": s.topic, "format": s.format, "name": c.name, "when": when,
		"description": strings.TrimSpace(plain(c.config["type"]) + " " + plain(c.config["subtype"])),
		"fields": map[string]any{"type": map[string]any{"type": "STRING", "value": quote(plain(c.config["type"]))},
			"subtype": map[string]any{"type": "STRING", "value": quote(plain(c.config["subtype"]))}}})
}

// tag: an event for each tag that is scanned.
func (c *component) tag() {
	if s := c.source("topic", "value_template"); s != nil {
		c.events = append(c.events, map[string]any{"topic": s.topic, "format": s.format, "name": c.name, "when": "not retained",
			"fields": map[string]any{"tag": map[string]any{"type": "STRING", "value": s.text()}}})
	}
}

// tracker: the state as text, and the place where the attributes have one.
func (c *component) tracker() {
	if s := c.source("state_topic", "value_template"); s != nil {
		home, away := c.word("payload_home", "home"), c.word("payload_not_home", "not_home")
		c.property("", map[string]any{"type": "STRING"}, s,
			"let v = "+s.text()+"; v == "+quote(home)+` ? "home" : v == `+quote(away)+` ? "not_home" : v == `+quote(c.word("payload_reset", "None"))+" ? nil : v", nil, false)
	}
	if c.config["json_attributes_topic"] == nil || c.config["json_attributes_template"] != nil {
		return
	}
	if s := c.source("json_attributes_topic"); s != nil {
		s.format, s.when = "json", "payload.latitude != nil and payload.longitude != nil"
		c.property("location", map[string]any{"type": "LOCATION"}, s,
			`{"latitude": payload.latitude, "longitude": payload.longitude, "elevation": payload.altitude ?? 0}`, nil, false)
	}
}

// image: a picture as it comes or in base64, or the address of one. It is a camera's too.
func (c *component) image() {
	key := "topic"
	if c.platform == "image" {
		key = "image_topic"
	}
	if s := c.source("url_topic", "url_template"); s != nil {
		c.property("url", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
	s := c.source(key)
	if s == nil {
		return
	}
	if c.word("image_encoding", "") != "b64" {
		s.format = "raw"
	}
	c.property("", map[string]any{"type": "IMAGE"}, s, "payload", nil, false)
}

// update: what is installed and what could be, and a service that installs it.
func (c *component) update() {
	if s := c.source("state_topic", "value_template"); s != nil {
		document := s.code
		if s.raw || s.path {
			document = "payload"
			if s.path {
				document = s.code
			}
			s.format = "auto"
		}
		member := func(key string) string {
			return "let v = " + document + "; type(v) == \"map\" ? v." + key + " : "
		}
		c.property("installed_version", map[string]any{"type": "STRING"}, s, member("installed_version")+"jinjaText(v)", nil, false)
		copied := *s
		if c.config["latest_version_topic"] == nil {
			c.property("latest_version", map[string]any{"type": "STRING"}, &copied, member("latest_version")+"nil", nil, false)
		}
	}
	if s := c.source("latest_version_topic", "latest_version_template"); s != nil {
		c.property("latest_version", map[string]any{"type": "STRING"}, s, s.text(), nil, false)
	}
	if c.config["payload_install"] != nil {
		c.command("Install", "command_topic", "", c.word("payload_install", ""))
	}
}
