package hass

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"thingbridge/mapping"
)

func init() {
	mapping.RegisterDecoder("homeassistant", homeassistant{})
	mapping.RegisterDecoder("esphome", esphome{})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// homeassistant is the decoder of the preset homeassistant.
type homeassistant struct{}

// Decode implements mapping.Decoder.
func (homeassistant) Decode(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	a, err := read(in)
	if err != nil {
		return nil, err
	}
	if a.isESPHome() && slices.Contains(in.Beside, "esphome") {
		return nil, &mapping.Pass{Why: "it is an ESPHome device, which the preset esphome takes"}
	}
	return a.fragments(plain(in.Parameters["prefix"]))
}

// Shares implements mapping.Sharer: ESPHome devices are left to esphome.
func (homeassistant) Shares(decoder string) bool { return decoder == "esphome" }

// fragments gives what the announcement says of its device.
func (a *announcement) fragments(prefix string) ([]mapping.Fragment, error) {
	if plain(a.in.Parameters["identity"]) == "node" {
		own := a.node
		if own == "" {
			own = a.object
		}
		if own != a.device.id {
			return nil, fmt.Errorf("it speaks for the device %q, but its topic is of %q, and identity is node", a.device.id, own)
		}
	}
	return []mapping.Fragment{a.finish(prefix + a.device.id)}, nil
}

// isESPHome tells by what ESPHome writes into each announcement: its name in the
// origin or the software, or a unique id of its making.
func (a *announcement) isESPHome() bool {
	if a.form == "device" {
		return strings.EqualFold(a.origin, "esphome")
	}
	d := a.device
	if strings.EqualFold(a.origin, "esphome") || strings.Contains(strings.ToLower(d.software), "esphome") || strings.Contains(d.software, "(config hash 0x") {
		return true
	}
	unique := ""
	if len(a.components) == 1 {
		unique = plain(a.components[0].config["unique_id"])
	}
	if unique == "" || a.node == "" || !slices.Contains(d.macs, d.id) {
		return false
	}
	hash, own := strings.CutPrefix(unique, d.id+"-"+a.form+"-")
	return own && len(hash) == 8 || unique == "ESP"+a.form+a.object
}
