package hass

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"thingbridge/mapping"
)

//go:embed abbreviations.txt
var abbreviationsText string

var abbreviations, deviceAbbreviations = readAbbreviations(abbreviationsText)

func readAbbreviations(text string) (all, device map[string]string) {
	all, device = map[string]string{}, map[string]string{}
	into := all
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "[device]" {
			into = device
		}
		if short, long, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
			into[short] = long
		}
	}
	return all, device
}

// expand gives an object with its keys in full; a key that stands in full wins.
func expand(m map[string]any, table map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		long, ok := table[k]
		if !ok {
			long = k
		} else if _, both := m[long]; both {
			continue
		}
		out[long] = v
	}
	return out
}

// rebase replaces ~ at an end of each topic by the base.
func rebase(m map[string]any) {
	base, ok := m["~"].(string)
	delete(m, "~")
	if !ok {
		return
	}
	for k, v := range m {
		s, isText := v.(string)
		if !isText || !strings.HasSuffix(k, "topic") {
			continue
		}
		if rest, ok := strings.CutPrefix(s, "~"); ok {
			s = base + rest
		}
		if rest, ok := strings.CutSuffix(s, "~"); ok {
			s = rest + base
		}
		m[k] = s
	}
	for _, item := range listOf(m["availability"]) {
		if one, ok := item.(map[string]any); ok {
			one["~"] = base
			rebase(one)
		}
	}
}

// shortened expands an announcement or a component: its keys, and those of the objects in it.
func shortened(m map[string]any) map[string]any {
	m = expand(m, abbreviations)
	if list := listOf(m["availability"]); list != nil {
		out := make([]any, len(list))
		for i, item := range list {
			if one, ok := item.(map[string]any); ok {
				item = expand(one, abbreviations)
			}
			out[i] = item
		}
		m["availability"] = out
	}
	for _, key := range []string{"device", "origin"} {
		if one, ok := m[key].(map[string]any); ok {
			m[key] = expand(one, deviceAbbreviations)
		}
	}
	return m
}

func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// plain is the text of a scalar; "" of anything else.
func plain(v any) string {
	switch v.(type) {
	case string, bool, int, float64:
		s, _ := text(v)
		return s
	}
	return ""
}

// device is whose announcement it is.
type device struct {
	id, description, software string
	macs                      []string
}

// deviceOf reads the device; fallback names the one that an announcement without
// a device makes.
func deviceOf(m map[string]any, fallback string) (*device, error) {
	d := &device{}
	info, ok := m["device"].(map[string]any)
	if m["device"] != nil && !ok {
		return nil, errors.New("device: an object is wanted")
	}
	for _, id := range listOf(info["identifiers"]) {
		if d.id == "" {
			d.id = plain(id)
		}
	}
	for _, c := range listOf(info["connections"]) {
		pair, _ := c.([]any)
		if len(pair) != 2 || plain(pair[1]) == "" {
			continue
		}
		if plain(pair[0]) == "mac" {
			d.macs = append(d.macs, plain(pair[1]))
		}
		if d.id == "" {
			d.id = plain(pair[1])
		}
	}
	if d.id == "" && ok {
		return nil, errors.New("device: identifiers or connections are wanted")
	}
	if d.id == "" {
		d.id = fallback
	}
	d.software = plain(info["sw_version"])
	d.description = describe(plain(info["name"]), plain(info["manufacturer"]), plain(info["model"]), d.software)
	return d, nil
}

// describe is the text for people: the name, and in brackets what it is.
func describe(name, maker, model, software string) string {
	what := strings.TrimSpace(maker + " " + model)
	if software != "" && what != "" {
		what += ", " + software
	} else if software != "" {
		what = software
	}
	switch {
	case name == "":
		return what
	case what == "":
		return name
	}
	return name + " (" + what + ")"
}

// announcement is one message, read.
type announcement struct {
	in         *mapping.DecoderInput
	form       string // the component, or "device"
	node       string
	object     string
	device     *device
	origin     string
	components []component
	out        *fragment
	toggles    bool // switches and lights take the command TOGGLE
}

// sharedKeys are those that the device form has once for all components.
var sharedKeys = []string{
	"availability", "availability_topic", "availability_template", "availability_mode", "payload_available",
	"payload_not_available", "state_topic", "command_topic", "encoding", "qos", "json_attributes_topic",
}

// read reads an announcement. A *mapping.Pass says that it is none.
func read(in *mapping.DecoderInput) (*announcement, error) {
	m, ok := in.Value.(map[string]any)
	if !ok {
		return nil, errors.New("a JSON object is wanted")
	}
	a := &announcement{in: in, form: in.Levels["component"], node: in.Levels["node"], object: in.Levels["object"]}
	m = shortened(m)
	if m["migrate_discovery"] != nil {
		return nil, &mapping.Pass{Why: "it only says that another form of the announcement follows", Keep: true}
	}
	rebase(m)
	fallback := plain(m["unique_id"])
	if fallback == "" {
		fallback = a.node
	}
	if fallback == "" || a.form == "device" {
		fallback = a.object
	}
	var err error
	if a.device, err = deviceOf(m, fallback); err != nil {
		return nil, err
	}
	if origin, ok := m["origin"].(map[string]any); ok {
		a.origin = plain(origin["name"])
	}
	a.out = newFragment()
	if a.form != "device" {
		a.add(a.form, a.object, m)
		return a, nil
	}
	return a, a.addAll(m)
}

// addAll reads the components of the device form.
func (a *announcement) addAll(m map[string]any) error {
	list, ok := m["components"].(map[string]any)
	if !ok {
		return errors.New("components: an object is wanted")
	}
	shared := map[string]any{}
	for _, k := range sharedKeys {
		if m[k] != nil {
			shared[k] = m[k]
		}
	}
	base := ""
	if raw, ok := a.in.Value.(map[string]any); ok {
		base, _ = raw["~"].(string)
	}
	for _, key := range sortedKeys(list) {
		raw, ok := list[key].(map[string]any)
		if !ok {
			a.out.skip("%s: an object is wanted", key)
			continue
		}
		one := shortened(raw)
		platform := plain(one["platform"])
		if len(one) == 0 || len(one) == 1 && one["platform"] != nil {
			continue // it is taken out
		}
		if platform == "" {
			a.out.skip("%s: it has no platform", key)
			continue
		}
		if _, own := one["~"]; !own && base != "" {
			one["~"] = base
		}
		rebase(one)
		for k, v := range shared {
			if _, own := one[k]; !own {
				one[k] = v
			}
		}
		a.add(platform, key, one)
	}
	return nil
}

// add reads one component.
func (a *announcement) add(platform, key string, config map[string]any) {
	name := key
	if a.form != "device" && plain(a.in.Parameters["names"]) != "short" {
		name = platform + "_" + key
	}
	c := component{announcement: a, fragment: a.out, platform: platform, name: name, config: config}
	a.components = append(a.components, c)
}

// fragment collects what becomes of an announcement.
type fragment struct {
	properties, services map[string]any
	events, presence     []any
	groups               map[string]bool
	skipped              []string
	expire               float64
}

func newFragment() *fragment {
	return &fragment{properties: map[string]any{}, services: map[string]any{}, groups: map[string]bool{}}
}

const mostSkipped = 200

func (f *fragment) skip(format string, args ...any) {
	if len(f.skipped) < mostSkipped {
		f.skipped = append(f.skipped, fmt.Sprintf(format, args...))
	}
}

// finish makes the Fragment.
func (a *announcement) finish(thing string) mapping.Fragment {
	for i := range a.components {
		a.components[i].become()
	}
	f := a.out
	rules := map[string]any{"description": a.device.description, "properties": f.properties, "services": f.services}
	if f.events != nil {
		rules["events"] = f.events
	}
	if f.presence != nil {
		rules["presence"] = f.presence
	}
	if f.expire > 0 {
		rules["expire_after"] = fmt.Sprintf("%gs", f.expire)
	}
	return mapping.Fragment{Thing: thing, Rules: rules, Skipped: f.skipped, Whole: true, Quiet: true}
}
