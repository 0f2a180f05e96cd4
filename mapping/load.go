package mapping

import (
	_ "embed"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// nativePreset is the preset that needs no other: with it alone the program is
// of use.
//
//go:embed presets/native.yaml
var nativePreset []byte

var profileKeys = []string{
	"name", "preset", "with", "parameters", "thing", "template", "identifier", "description", "announce", "presence", "leave",
	"parent", "expire_after", "queue", "ask", "properties", "writes", "reads", "services", "events", "platform", "decoder",
	"allow_topics", "format", "encoding", "session", "state",
}

// presetOverrides may stand beside `preset:` and replace what the preset says.
var presetOverrides = []string{"name", "preset", "with", "thing", "template", "description", "expire_after", "queue", "allow_topics"}

// Load compiles a list of profiles. list is the value of the configuration's
// key profiles; nil means the native preset alone. file names the source of
// list in problems. presets gives the YAML of a preset by name; nil knows native alone. All problems
// are reported at once; Profiles is nil when one of them is no warning.
func Load(list *yaml.Node, file string, presets func(name string) ([]byte, bool)) (*Profiles, []Problem) {
	l := &loader{file: file, heardAt: map[*rule]field{}, from: map[*profile]field{}}
	var p Profiles
	list = resolve(list)
	if isNull(list) {
		l.preset(&p, "native", field{path: "profiles"}, nil, presets)
	} else if list.Kind != yaml.SequenceNode {
		l.fail(field{list, "profiles"}, "a list of profiles", "%s stands here", kindText(list))
	} else {
		for _, f := range l.items(field{list, "profiles"}) {
			l.entry(&p, f, presets)
		}
	}
	if len(p.profiles) == 0 && !l.failed() {
		l.fail(field{list, "profiles"}, "at least one profile", "the list is empty")
	}
	l.uniqueNames(&p)
	p.finish(l)
	sort.SliceStable(l.problems, func(i, j int) bool {
		a, b := &l.problems[i], &l.problems[j]
		return a.File == b.File && (a.Line < b.Line || a.Line == b.Line && a.Col < b.Col)
	})
	if l.failed() {
		return nil, l.problems
	}
	return &p, l.problems
}

// entry reads one member of the list: a preset or a profile.
func (l *loader) entry(p *Profiles, f field, presets func(string) ([]byte, bool)) {
	l.family++
	fields, _ := l.object(f, profileKeys...)
	if fields == nil {
		if isNull(f.n) {
			l.fail(f, "a mapping", "the profile is empty")
		}
		return
	}
	if name, ok := fields["preset"]; ok {
		for key, sub := range fields {
			if !contains(presetOverrides, key) {
				l.fail(sub, "beside preset one of "+strings.Join(presetOverrides, ", "), "%q cannot be changed in a preset", key)
			}
		}
		l.preset(p, l.text(name), name, fields, presets)
		return
	}
	if with, ok := fields["with"]; ok {
		l.fail(with, "parameters, as this is no preset", "with belongs to a preset")
	}
	l.profile(p, f, fields, l.parameters(fields["parameters"]))
}

// preset reads a preset's file: one profile or a list of them.
func (l *loader) preset(p *Profiles, name string, at field, over map[string]field, presets func(string) ([]byte, bool)) {
	var text []byte
	ok := false
	if presets != nil {
		text, ok = presets(name)
	} else if name == "native" {
		text, ok = nativePreset, true
	}
	if !ok {
		l.fail(at, "the name of a preset (see the command presets)", "there is no preset %q", name)
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		l.fail(at, "", "the preset %q is not YAML: %s", name, firstLine(err.Error()))
		return
	}
	outer := l.file
	l.within = &at
	defer func() { l.file, l.within = outer, nil }()
	for _, f := range l.items(field{n: resolve(&doc)}) {
		l.file = "preset " + name
		fields, _ := l.object(f, profileKeys...)
		if fields == nil {
			continue
		}
		if inner := fields["preset"]; inner.ok() && l.text(inner) != name { // several presets under one name
			of := l.text(inner)
			l.file = outer
			l.preset(p, of, at, over, presets)
			continue
		}
		params := l.parameters(fields["parameters"])
		l.file = outer
		l.with(over["with"], params)
		for key, sub := range over {
			if key != "preset" && key != "with" {
				fields[key] = sub
			}
		}
		l.file = "preset " + name
		l.profile(p, f, fields, params)
	}
}

// parameters reads the defaults of parameters.
func (l *loader) parameters(f field) map[string]any {
	params := map[string]any{}
	fields, order := l.object(f)
	for _, name := range order {
		if !isIdentifier(name) || isFunctionName(name) || reserved[name] {
			l.fail(fields[name], "a name of letters, digits and _ that is no function", "a parameter cannot be named %q", name)
			continue
		}
		params[name] = dataOf(fields[name].n, 0)
	}
	return params
}

// with sets parameters of a preset.
func (l *loader) with(f field, params map[string]any) {
	fields, order := l.object(f)
	for _, name := range order {
		def, known := params[name]
		v := dataOf(fields[name].n, 0)
		switch {
		case !known:
			l.fail(fields[name], "one of "+strings.Join(sortedKeys(params), ", "), "the preset has no parameter %q", name)
		case def != nil && kindOf(def) != kindOf(v):
			l.fail(fields[name], kindOf(def), "%s stands here", kindText(fields[name].n))
		default:
			params[name] = v
		}
	}
}

// reserved are the names that expressions have for themselves.
var reserved = names{
	"payload": true, "topic": true, "retained": true, "now": true, "device": true, "item": true, "inputs": true,
	"value": true, "bridge": true,
}

func (l *loader) uniqueNames(p *Profiles) {
	seen := map[string]int{}
	for _, prof := range p.profiles {
		seen[prof.name]++
		if n := seen[prof.name]; n > 1 {
			prof.name += "-" + strconv.Itoa(n)
		}
	}
}

// finish numbers the rules and builds the static tables.
func (p *Profiles) finish(l *loader) {
	order := 0
	for i, prof := range p.profiles {
		prof.order = i
		for _, other := range p.profiles {
			if other != prof && other.decoder != nil {
				prof.beside = append(prof.beside, other.decoderName)
			}
		}
		prof.sigBase = p.sigs
		p.sigs += len(prof.signatures)
		for _, c := range prof.calls {
			p.routes++
			c.setRoute(p.routes)
		}
		for _, list := range [][]*rule{prof.announces, prof.rules} {
			for _, r := range list {
				r.order = order
				order++
				r.id = prof.name + "/" + r.id
			}
		}
		for _, c := range prof.calls {
			c.id = prof.name + "/" + c.id
		}
	}
	l.shadowed(p)
	l.overlaps(p)
}

func (c *callRule) setRoute(route RouteID) {
	c.route = route
	for _, r := range c.replies {
		r.route = route
	}
}
