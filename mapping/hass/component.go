package hass

import (
	"fmt"
	"strings"

	"thingbridge/mapping"
)

// component is one entity of an announcement.
type component struct {
	*announcement
	*fragment
	platform string
	name     string // what its properties and services are called after
	config   map[string]any
}

// become says what becomes of the component.
func (c *component) become() {
	f := platforms[c.platform]
	if f == nil {
		c.left("the platform is not mapped")
		return
	}
	if e, ok := c.config["encoding"]; ok && e != nil && e != "" && !strings.EqualFold(plain(e), "utf-8") && !strings.EqualFold(plain(e), "utf8") {
		c.left("encoding %q is not supported; utf-8 is", plain(e))
		return
	}
	c.availability()
	f(c)
	c.attributes()
	if n, ok := c.config["expire_after"].(float64); ok {
		c.expire = max(c.expire, n)
	} else if n, ok := c.config["expire_after"].(int); ok {
		c.expire = max(c.expire, float64(n))
	}
}

// left tells what could not be taken over.
func (c *component) left(format string, args ...any) {
	c.skip("%s (%s): %s", c.name, c.platform, fmt.Sprintf(format, args...))
}

// word is a text of the configuration, or what stands for it.
func (c *component) word(key, otherwise string) string {
	if v, ok := c.config[key]; ok && v != nil {
		if s := plain(v); s != "" {
			return s
		}
	}
	return otherwise
}

// off reports a key that is null: what it is for does not exist.
func (c *component) off(key string) bool {
	v, ok := c.config[key]
	return ok && v == nil
}

func (c *component) flag(key string) bool { b, _ := c.config[key].(bool); return b }

// amount is a number of the configuration; nil where there is none.
func (c *component) amount(key string, otherwise any) any {
	switch v := c.config[key].(type) {
	case int, float64:
		return v
	}
	return otherwise
}

// words is a list of texts; nil where there is none.
func (c *component) words(key string, otherwise ...any) any {
	list := listOf(c.config[key])
	if list == nil {
		list = otherwise
	}
	var out []any
	for _, item := range list {
		out = append(out, plain(item))
	}
	if out == nil {
		return nil
	}
	return out
}

// topic is one that the configuration names; "" where there is none, or where it
// may not be used.
func (c *component) topic(key string) string {
	v, ok := c.config[key]
	if !ok || v == nil || v == "" {
		return ""
	}
	s, isText := v.(string)
	if why := c.barred(s); !isText || why != "" {
		if !isText {
			why = "text is wanted"
		}
		c.left("%s: %s", key, why)
		return ""
	}
	return s
}

// barred says why a topic may not be used; "" it may.
func (a *announcement) barred(topic string) string {
	discovery := plain(a.in.Parameters["discovery"])
	status := plain(a.in.Parameters["status"])
	switch {
	case !mapping.ValidTopic(topic):
		return fmt.Sprintf("%q is not a topic; wildcards are not allowed", short(topic))
	case strings.HasPrefix(topic, "$"), strings.HasPrefix(topic, "thingbridge/"):
		return fmt.Sprintf("the topic %q is the broker's or the bridge's own", short(topic))
	case topic == status, strings.HasPrefix(topic, discovery+"/") && strings.HasSuffix(topic, "/config"):
		return fmt.Sprintf("the topic %q is one that announcements go by", short(topic))
	case !a.in.Permits(topic):
		return fmt.Sprintf("the topic %q is not under allow_topics", short(topic))
	}
	return ""
}

func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// source is where a value comes from.
type source struct {
	topic, format string
	code          string // our expression for what the template yields
	path          bool   // it is a member of a JSON payload, and nothing else
	raw           bool   // it is the text of the payload
	when          string // what of the message must hold; "": nothing
}

// source reads a topic and the first of the templates that is there; nil where there
// is no topic, or where it cannot be taken over.
func (c *component) source(topicKey string, templateKeys ...string) *source {
	s := &source{topic: c.topic(topicKey)}
	if s.topic == "" {
		return nil
	}
	for _, key := range templateKeys {
		v, ok := c.config[key]
		if !ok || v == nil {
			continue
		}
		text, isText := v.(string)
		if !isText {
			c.left("%s: text is wanted", key)
			return nil
		}
		if err := s.template(text); err != nil {
			c.left("%s: %s: %s", key, short(text), err)
			return nil
		}
		return s
	}
	s.format, s.code, s.raw = "text", "payload", true
	return s
}

// template takes over a value template.
func (s *source) template(text string) error {
	const document = "payload"
	code, used, err := translate(text, map[string]string{"value": "payload", "value_json": document})
	if err != nil {
		return err
	}
	s.format = "text"
	if used["value_json"] && used["value"] {
		code, _, err = translate(text, map[string]string{"value": "payload", "value_json": "fromJSON(payload)"})
	} else if used["value_json"] {
		s.format = "json"
		s.path = strings.HasPrefix(code, document+"[") && !strings.ContainsAny(code[len(document):], "(?+-*/ ")
	}
	s.code, s.raw = code, code == "payload"
	return err
}

// number, words and truth are the expressions for a value of that kind.
func (s *source) number() string {
	if s.path {
		return s.code
	}
	return "jinjaKnown(" + s.code + ")"
}

func (s *source) text() string {
	if s.raw {
		return s.code
	}
	return "jinjaText(" + s.code + ")"
}

func (s *source) truth(on, off string) string {
	return fmt.Sprintf("let v = %s; v == %s ? true : v == %s ? false : nil", s.text(), quote(on), quote(off))
}

// sink is where a value goes to.
type sink struct{ topic, payload string }

// sink reads a topic and a command template. value is our expression for what is
// sent, and for the template's value; more are further names. nil where there is no
// topic, or where it cannot be taken over.
func (c *component) sink(topicKey, templateKey, value string, more map[string]string) *sink {
	s := &sink{topic: c.topic(topicKey), payload: "${jinjaText(" + value + ")}"}
	if s.topic == "" {
		return nil
	}
	template, ok := c.config[templateKey]
	if templateKey == "" || !ok || template == nil {
		return s
	}
	text, isText := template.(string)
	if !isText {
		c.left("%s: text is wanted", templateKey)
		return nil
	}
	names := map[string]string{"value": value}
	for k, v := range more {
		names[k] = v
	}
	code, _, err := translate(text, names)
	if err != nil {
		c.left("%s: %s: %s", templateKey, short(text), err)
		return nil
	}
	s.payload = "${jinjaText(" + code + ")}"
	return s
}

// property declares a property of the component. from says what its value is, to
// where it is written; either may be nil.
func (c *component) property(suffix string, definition map[string]any, from *source, value string, to *sink, optimistic bool) {
	if from == nil && to == nil {
		return
	}
	name := c.name
	if suffix != "" {
		name += "_" + suffix
	}
	if _, ok := definition["description"]; !ok {
		if text := plain(c.config["name"]); text != "" {
			definition["description"] = text
		}
	}
	for k, v := range definition {
		if v == nil {
			delete(definition, k)
		}
	}
	if from != nil {
		definition["topic"], definition["format"], definition["value"] = from.topic, from.format, value
		if from.when != "" {
			definition["when"] = from.when
		}
	}
	if to != nil {
		write := map[string]any{"topic": to.topic, "payload": to.payload}
		if from != nil && !optimistic && !c.flag("optimistic") {
			write["confirm"], definition["confirm"] = "echo", "echo"
		}
		definition["write"] = write
	}
	c.properties[name] = definition
}

// service declares a service that sends what to holds.
func (c *component) service(suffix, description string, inputs map[string]any, to *sink) {
	if to == nil {
		return
	}
	s := map[string]any{"description": description, "request": map[string]any{"topic": to.topic, "payload": to.payload}}
	if inputs != nil {
		s["inputs"] = inputs
	}
	c.services[c.name+"_"+suffix] = s
}

// command declares a service without inputs that sends one word.
func (c *component) command(suffix, topicKey, templateKey, word string) {
	c.service(suffix, strings.TrimSpace(suffix+" "+plain(c.config["name"])), nil, c.sink(topicKey, templateKey, quote(word), nil))
}

// attributes takes over json_attributes_topic as one property.
func (c *component) attributes() {
	s := c.source("json_attributes_topic", "json_attributes_template")
	if s == nil {
		return
	}
	value := s.code
	if s.raw {
		s.format = "json"
	} else if !s.path {
		value = "fromJSON(jinjaText(" + s.code + "))"
	}
	c.property("attributes", map[string]any{"type": "JSON"}, s, value, nil, false)
}
