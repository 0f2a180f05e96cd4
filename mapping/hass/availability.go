package hass

import (
	"fmt"
	"strings"
)

// availability takes over by what topics the component says whether it is there.
// Components that name the same topics in the same way share a group; the device is
// offline while all groups are.
func (c *component) availability() {
	mode := c.word("availability_mode", "latest")
	need := map[string]string{"all": "all", "any": "any", "latest": "latest"}[mode]
	if need == "" {
		c.left("availability_mode: %q is not one of all, any and latest", mode)
		return
	}
	list := listOf(c.config["availability"])
	if list == nil && c.config["availability_topic"] != nil {
		list = []any{map[string]any{"topic": c.config["availability_topic"], "value_template": c.config["availability_template"],
			"payload_available": c.config["payload_available"], "payload_not_available": c.config["payload_not_available"]}}
	}
	var rules []map[string]any
	var key strings.Builder
	for i, item := range list {
		rule, why := c.available(item)
		if why != "" {
			c.left("availability[%d]: %s", i, why)
			continue
		}
		fmt.Fprintf(&key, "%s %s %s\n", rule["topic"], rule["online"], rule["offline"])
		rules = append(rules, rule)
	}
	group := need + "\n" + key.String()
	if len(rules) == 0 || c.groups[group] {
		return
	}
	c.groups[group] = true
	for _, rule := range rules {
		rule["group"], rule["need"] = group, need
		c.presence = append(c.presence, rule)
	}
}

// available reads one topic of availability.
func (c *component) available(item any) (rule map[string]any, why string) {
	one, ok := item.(map[string]any)
	if !ok {
		return nil, "an object is wanted"
	}
	topic, ok := one["topic"].(string)
	if !ok {
		return nil, "topic: text is wanted"
	}
	if why := c.barred(topic); why != "" {
		return nil, "topic: " + why
	}
	s := &source{format: "text", code: "payload", raw: true}
	if template, ok := one["value_template"].(string); ok {
		if err := s.template(template); err != nil {
			return nil, fmt.Sprintf("value_template: %s: %s", short(template), err)
		}
	}
	on, off := plain(one["payload_available"]), plain(one["payload_not_available"])
	if on == "" {
		on = "online"
	}
	if off == "" {
		off = "offline"
	}
	return map[string]any{"topic": topic, "format": s.format, "online": s.text() + " == " + quote(on), "offline": s.text() + " == " + quote(off)}, ""
}
