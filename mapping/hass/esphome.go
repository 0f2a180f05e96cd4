package hass

import (
	"errors"
	"strings"

	"thingbridge/mapping"
)

// esphome is the decoder of the preset esphome: of Home Assistant's announcements
// those that ESPHome made, and of ESPHome's own all.
type esphome struct{}

// Decode implements mapping.Decoder.
func (esphome) Decode(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	if _, discovery := in.Levels["component"]; !discovery {
		return own(in)
	}
	a, err := read(in)
	if pass := (*mapping.Pass)(nil); err != nil && !errors.As(err, &pass) {
		return nil, &mapping.Pass{Why: "it is not ESPHome's"} // and another's to refuse
	}
	if err != nil {
		return nil, err
	}
	if !a.isESPHome() {
		return nil, &mapping.Pass{Why: "it is not ESPHome's"}
	}
	a.toggles = true
	f := a.finish(plain(in.Parameters["prefix"]) + strings.ToLower(a.device.id))
	f.Let = map[string]any{a.form + "/" + a.object: true}
	if node := a.node; node != "" {
		f.Let["node"] = node
	}
	return []mapping.Fragment{f}, nil
}

// own reads ESPHome's answer on DISCOVER/NODE. What its components are it does not
// say; the profile's own rules listen to all of them.
func own(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	m, ok := in.Value.(map[string]any)
	if !ok {
		return nil, errors.New("a JSON object is wanted")
	}
	node := in.Levels["node"]
	id := strings.ToLower(plain(m["mac"]))
	if id == "" {
		id = node
	}
	name := plain(m["friendly_name"])
	if name == "" {
		name = plain(m["name"])
	}
	maker, model, _ := strings.Cut(plain(m["project_name"]), ".")
	if model == "" {
		model = plain(m["board"])
	}
	software := "ESPHome " + plain(m["version"])
	return []mapping.Fragment{{Thing: plain(in.Parameters["prefix"]) + id, Whole: true, Quiet: true,
		Let:   map[string]any{"node": node},
		Rules: map[string]any{"description": describe(name, maker, model, strings.TrimSpace(software))}}}, nil
}
