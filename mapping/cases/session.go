package cases

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"thingbridge/mapping"
	"thingbridge/mapping/sparkplug"
)

// turn shows what a session gives, and carries it out.
func (c *run) turn(turn *mapping.Turn) {
	for _, step := range turn.Steps {
		if step.Input != nil {
			c.handle(step.Input)
			continue
		}
		c.effects([]mapping.Effect{step.Effect})
	}
	for _, q := range turn.Send {
		c.sent("send", q.Publication)
	}
	if at := turn.Wake(); !at.IsZero() && (c.wake.IsZero() || at.Before(c.wake)) {
		c.wake = at
	}
}

// sent shows a message to a device.
func (c *run) sent(verb string, p mapping.Publication) {
	if p.AtMostOnce {
		verb += " (QoS 0)"
	}
	if p.Retain {
		verb += " retained"
	}
	c.say("%s", strings.TrimRight(verb+" "+p.Topic+" "+ShowPayload(p.Payload), " "))
}

// ShowPayload shows text as it is, Sparkplug by its metrics, and other bytes as a
// step bytes has them.
func ShowPayload(payload []byte) string {
	binary := func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
	if utf8.Valid(payload) && !strings.ContainsFunc(string(payload), binary) {
		return string(payload)
	}
	if p, err := sparkplug.Parse(payload); err == nil {
		return p.String()
	}
	return fmt.Sprintf("bytes % x", payload)
}

// sparkplug is a message whose payload is written in JSON.
func (c *run) sparkplug(topic string, data []byte) error {
	p, err := sparkplug.FromJSON(data)
	if err != nil {
		return err
	}
	c.said(topic, p.Append(nil))
	return nil
}

// broker tells the sessions of the connection to the broker.
func (c *run) broker(what string) error {
	turn := mapping.Turn{Now: c.now}
	switch what {
	case "lost":
		c.sessions.Disconnected(&turn)
	case "back", "forgot":
		c.sessions.Connected(what == "back", &turn)
	default:
		return errors.New("broker is lost, back, or forgot (back, without the session)")
	}
	c.turn(&turn)
	return nil
}
