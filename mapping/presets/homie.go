package presets

import (
	"fmt"
	"sort"
	"strings"

	"thingbridge/mapping"
)

// Homie 4 and 5 describe the same: a device with nodes that have properties. The
// two decoders read it from 300 attributes or one JSON document; what a property
// becomes is the same for both. What is not as the convention has it is left
// out, property by property, with the reason.

func init() {
	mapping.RegisterDeviceDecoder("homie4", homie4{})
	mapping.RegisterDeviceDecoder("homie5", homie5{})
	mapping.RegisterFunction("homieText", homieText)
}

// homieDevice is a device as both versions describe it.
type homieDevice struct {
	version    int
	base       string // its topics begin so
	name, kind string
	properties []homieProperty
	skipped    []string
	root       string // id; "" none
}

// homieProperty is one property of a node as it is described.
type homieProperty struct {
	node, id            string
	nodeName, name      string
	datatype, format    string
	unit                string
	settable, momentary bool
}

func (d *homieDevice) skip(path, format string, args ...any) {
	d.skipped = append(d.skipped, path+": "+fmt.Sprintf(format, args...))
}

// fragment says what the device becomes. Rules that are the same for every
// property are the preset's; they look up what they need in device.props.
func (d *homieDevice) fragment() *mapping.Fragment {
	sort.Slice(d.properties, func(i, j int) bool {
		a, b := &d.properties[i], &d.properties[j]
		return a.node < b.node || a.node == b.node && a.id < b.id
	})
	properties, services, events, props := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for i := range d.properties {
		p := &d.properties[i]
		path, name := p.node+"/"+p.id, p.node+"_"+p.id
		if other, taken := props[name].(map[string]any); taken {
			d.skip(path, "%s/%s becomes %s already", other["node"], other["prop"], name)
			continue
		}
		spec, err := parseHomieFormat(d.version, p.datatype, p.format)
		if err != nil {
			d.skip(path, "%s", err)
			continue
		}
		remembered := spec.remembered()
		remembered["node"], remembered["prop"], remembered["event"] = p.node, p.id, p.momentary
		props[name] = remembered
		if !p.momentary {
			properties[name] = p.definition(spec)
			continue
		}
		events[name] = map[string]any{"description": p.description(spec), "fields": map[string]any{"value": map[string]any{"type": spec.base}}}
		if p.settable {
			request := map[string]any{"topic": d.base + "/" + path + "/set", "payload": "${homieText(inputs.value, device.props[service])}"}
			if d.version >= 5 {
				request["qos"] = 0 // the convention's: such a command comes now or not at all
			}
			services[name] = map[string]any{
				"description": p.description(spec), "request": request,
				"inputs": map[string]any{"value": map[string]any{"type": spec.base, "required": true}},
			}
		}
	}
	description := d.name
	if d.kind != "" {
		description = strings.TrimSpace(description + " (" + d.kind + ")")
	}
	f := &mapping.Fragment{
		Let:     map[string]any{"base": d.base, "props": props},
		Rules:   map[string]any{"description": description, "properties": properties, "services": services, "events": events},
		Skipped: d.skipped,
	}
	if d.root != "" {
		f.Parent = map[string]string{"id": d.root}
	}
	return f
}

func (p *homieProperty) definition(spec *homieSpec) map[string]any {
	def := map[string]any{"type": spec.base, "description": p.description(spec), "unit": p.unit}
	if p.settable {
		def["writable"], def["confirm"] = true, "echo"
	}
	if spec.min != nil {
		def["min"] = *spec.min
	}
	if spec.max != nil {
		def["max"] = *spec.max
	}
	if spec.step != nil {
		def["step"] = *spec.step
	}
	if spec.values != nil {
		values := make([]any, len(spec.values))
		for i, v := range spec.values {
			values[i] = v
		}
		def["values"] = values
	}
	return def
}

func (p *homieProperty) description(spec *homieSpec) string {
	text := p.name
	if p.nodeName != "" && p.nodeName != p.node {
		text = p.nodeName + ": " + text
	}
	if spec.labels != nil {
		text += " (false: " + spec.labels[0] + ", true: " + spec.labels[1] + ")"
	}
	if spec.colors != nil {
		text += " (" + strings.Join(spec.colors, ", ") + ")"
	}
	return text
}

// homieID reports whether text can be the id of a node or a property: one level of
// a topic that is no attribute. Which letters it has is not our matter.
func homieID(text string) bool {
	return text != "" && len(text) <= 200 && !strings.ContainsAny(text, "/+#$\x00")
}

const homieMostProperties = 10_000

// homie5 reads $description.
type homie5 struct{}

func (homie5) DecodeDevice(all []*mapping.DecoderInput) (*mapping.Fragment, error) {
	in := all[0]
	doc, ok := in.Value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("$description: a JSON object is wanted")
	}
	version := homieField(doc, "homie")
	if version != "5" && !strings.HasPrefix(version, "5.") {
		return nil, fmt.Errorf("$description: homie: version 5.x is wanted, not %.20q", version)
	}
	d := &homieDevice{version: 5, base: strings.TrimSuffix(in.Topic, "/$description"),
		name: homieField(doc, "name"), kind: homieField(doc, "type"), root: homieField(doc, "root")}
	nodes, ok := doc["nodes"].(map[string]any)
	if !ok && doc["nodes"] != nil {
		return nil, fmt.Errorf("$description: nodes: an object is wanted")
	}
	for _, node := range homieKeys(nodes) {
		d.node5(node, nodes[node])
	}
	return d.fragment(), nil
}

func (d *homieDevice) node5(id string, v any) {
	node, ok := v.(map[string]any)
	properties, ok2 := node["properties"].(map[string]any)
	switch {
	case !homieID(id):
		d.skip(fmt.Sprintf("node %.60q", id), "not an id")
		return
	case !ok || !ok2 && node["properties"] != nil:
		d.skip(id, "a node and its properties are objects")
		return
	}
	nodeName := homieField(node, "name")
	for _, key := range homieKeys(properties) {
		path := id + "/" + key
		p, ok := properties[key].(map[string]any)
		switch {
		case !homieID(key):
			d.skip(fmt.Sprintf("%s: property %.60q", id, key), "not an id")
		case !ok:
			d.skip(path, "a property is an object")
		case len(d.properties) >= homieMostProperties:
			d.skip(path, "more than %d properties", homieMostProperties)
			return
		default:
			prop := homieProperty{node: id, id: key, nodeName: nodeName, name: homieField(p, "name"), datatype: homieField(p, "datatype"),
				format: homieField(p, "format"), unit: homieField(p, "unit")}
			if prop.name == "" {
				prop.name = key
			}
			settable, ok1 := homieFlag(p["settable"], false)
			retained, ok2 := homieFlag(p["retained"], true)
			if !ok1 || !ok2 {
				d.skip(path, "settable and retained are true or false")
				continue
			}
			prop.settable, prop.momentary = settable, !retained
			d.properties = append(d.properties, prop)
		}
	}
}

func homieField(m map[string]any, key string) string {
	text, _ := m[key].(string)
	return text
}

// homieFlag reads true and false, also as text.
func homieFlag(v any, absent bool) (on, ok bool) {
	switch v {
	case nil, "":
		return absent, true
	case true, "true":
		return true, true
	case false, "false":
		return false, true
	}
	return false, false
}

func homieKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// homie4 reads the attributes of a device, its nodes and their properties.
type homie4 struct{}

func (homie4) DecodeDevice(all []*mapping.DecoderInput) (*mapping.Fragment, error) {
	// The topics begin with the device's; how deep that stands, its level says.
	attributes := make(map[string]string, len(all))
	base := ""
	for _, in := range all {
		text, _ := in.Value.(string)
		path := homiePath(in)
		base = strings.TrimSuffix(in.Topic, "/"+path)
		attributes[path] = text
	}
	version := attributes["$homie"]
	switch {
	case version == "":
		return nil, &mapping.Pass{Why: "$homie is missing"}
	case !strings.HasPrefix(version, "4.") && !strings.HasPrefix(version, "3."):
		return nil, fmt.Errorf("$homie: version 3.x or 4.x is wanted, not %.20q", version)
	case attributes["$nodes"] == "":
		return nil, &mapping.Pass{Why: "$nodes is missing"}
	}
	d := &homieDevice{version: 4, base: base, name: attributes["$name"]}
	for _, node := range homieList(attributes["$nodes"]) {
		list := attributes[node+"/$properties"]
		switch {
		case strings.HasSuffix(node, "[]"):
			d.skip(node, "arrays of nodes are not known")
			continue
		case !homieID(node):
			d.skip(fmt.Sprintf("node %.60q", node), "not an id")
			continue
		case list == "":
			return nil, &mapping.Pass{Why: node + "/$properties is missing"}
		}
		for _, id := range homieList(list) {
			if len(d.properties)+len(d.skipped) >= homieMostProperties {
				d.skip(node+"/"+id, "more than %d properties", homieMostProperties)
				return d.fragment(), nil
			}
			d.property4(attributes, node, id, strings.HasPrefix(version, "3."))
		}
	}
	return d.fragment(), nil
}

// homiePath is the part of an attribute's topic behind the device's.
func homiePath(in *mapping.DecoderInput) string {
	levels := 1
	for _, name := range []string{"node", "prop"} {
		if in.Levels[name] != "" {
			levels++
		}
	}
	at := len(in.Topic)
	for range levels {
		at = strings.LastIndexByte(in.Topic[:at], '/')
		if at < 0 {
			return in.Topic
		}
	}
	return in.Topic[at+1:]
}

// homieList reads ids. One that is listed again is the same: each node listed
// again would bring all its properties again.
func homieList(text string) []string {
	var out []string
	seen := map[string]bool{}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" && !seen[item] {
			seen[item] = true
			out = append(out, item)
		}
	}
	return out
}

func (d *homieDevice) property4(attributes map[string]string, node, id string, old bool) {
	path := node + "/" + id
	at := func(name string) string { return attributes[path+"/"+name] }
	settable, ok1 := homieFlag(at("$settable"), false)
	retained, ok2 := homieFlag(at("$retained"), true)
	p := homieProperty{node: node, id: id, nodeName: attributes[node+"/$name"], name: at("$name"), datatype: at("$datatype"), format: at("$format"),
		unit: at("$unit"), settable: settable, momentary: !retained}
	if p.name == "" {
		p.name = id
	}
	if p.datatype == "" && old {
		p.datatype = "string"
	}
	switch {
	case !homieID(id):
		d.skip(fmt.Sprintf("%s: property %.60q", node, id), "not an id")
	case p.datatype == "":
		d.skip(path, "$datatype is missing")
	case !ok1 || !ok2:
		d.skip(path, "$settable and $retained are true or false")
	default:
		d.properties = append(d.properties, p)
	}
}
