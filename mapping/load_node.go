package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// loader collects what is wrong while profiles are read.
type loader struct {
	file     string
	problems []Problem
	dynamic  bool // the rules come with an announcement: topics are literal
	family   int  // number of the list's member that is read

	within  *field             // where the configuration names the preset that is read; nil: none is
	heardAt map[*rule]field    // where the rules' topics stand; of rules that come with an announcement none
	from    map[*profile]field // of profiles that a preset made: where the configuration names it
}

// place is where a rule's topic stands in the configuration, or its preset.
func (l *loader) place(r *rule) field {
	if f, ok := l.from[r.prof]; ok {
		return f
	}
	return l.heardAt[r]
}

// field is a YAML node and where it stands.
type field struct {
	n    *yaml.Node
	path string
}

func (f field) ok() bool { return f.n != nil }

func (f field) sub(key string) string {
	if f.path == "" {
		return key
	}
	return f.path + "." + key
}

func (l *loader) add(f field, warning bool, message, expected string) {
	if len(l.problems) >= 1000 {
		return
	}
	p := Problem{File: l.file, Path: f.path, Message: message, Expected: expected, Warning: warning}
	if f.n != nil {
		p.Line, p.Col = f.n.Line, f.n.Column
	}
	l.problems = append(l.problems, p)
}

func (l *loader) fail(f field, expected, format string, args ...any) {
	l.add(f, false, fmt.Sprintf(format, args...), expected)
}

func (l *loader) warn(f field, format string, args ...any) {
	l.add(f, true, fmt.Sprintf(format, args...), "")
}

func (l *loader) failed() bool {
	for _, p := range l.problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && (n.Kind == yaml.AliasNode || n.Kind == yaml.DocumentNode) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		} else if len(n.Content) > 0 {
			n = n.Content[0]
		} else {
			return nil
		}
	}
	if n != nil && n.Kind == 0 {
		return nil
	}
	return n
}

func kindText(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		return "the text " + strconv.Quote(shorten(n.Value, 40))
	}
	return n.Value
}

func isNull(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// object reads a mapping with known keys; no keys means any.
func (l *loader) object(f field, keys ...string) (map[string]field, []string) {
	n := resolve(f.n)
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		l.fail(f, "a mapping", "%s stands here", kindText(n))
		return nil, nil
	}
	out := make(map[string]field, len(n.Content)/2)
	var order []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		sub := field{n: resolve(n.Content[i+1]), path: f.sub(k.Value)}
		at := field{n: k, path: sub.path}
		if _, twice := out[k.Value]; twice {
			l.fail(at, "", "the key stands twice")
			continue
		}
		if len(keys) > 0 && !contains(keys, k.Value) {
			l.fail(at, "one of "+strings.Join(keys, ", ")+near(k.Value, keys), "unknown key %q", k.Value)
			continue
		}
		if sub.n == nil {
			sub.n = k
		}
		out[k.Value] = sub
		order = append(order, k.Value)
	}
	return out, order
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// near suggests a key that differs in case, or starts or ends alike.
func near(got string, keys []string) string {
	for _, k := range keys {
		if strings.EqualFold(k, got) || len(got) > 2 && (strings.HasPrefix(k, got) || strings.HasPrefix(got, k)) {
			return "; did you mean " + k + "?"
		}
	}
	return ""
}

// items reads a list; a single value is a list of one.
func (l *loader) items(f field) []field {
	n := resolve(f.n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []field{{n: n, path: f.path}}
	}
	out := make([]field, len(n.Content))
	for i, item := range n.Content {
		out[i] = field{n: resolve(item), path: fmt.Sprintf("%s[%d]", f.path, i)}
	}
	return out
}

func (l *loader) text(f field) string {
	if !f.ok() {
		return ""
	}
	n := resolve(f.n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		l.fail(f, "text", "%s stands here", kindText(n))
		return ""
	}
	return n.Value
}

func (l *loader) boolean(f field) bool {
	if !f.ok() {
		return false
	}
	n := resolve(f.n)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		l.fail(f, "true or false", "%s stands here", kindText(n))
		return false
	}
	return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
}

func (l *loader) duration(f field) time.Duration {
	if !f.ok() {
		return 0
	}
	text := l.text(f)
	d, err := time.ParseDuration(text)
	switch {
	case text == "":
	case err != nil && numericText(text) != nil:
		l.fail(f, "a duration such as 10s, 5m or 1h", "the duration %s has no unit", text)
	case err != nil || d < 0:
		l.fail(f, "a duration such as 10s, 5m or 1h", "%q is not a duration", text)
	default:
		return d
	}
	return 0
}

func (l *loader) oneOf(f field, choices ...string) string {
	text := l.text(f)
	if f.ok() && text != "" && !contains(choices, text) {
		l.fail(f, "one of "+strings.Join(choices, ", "), "%q is not known here", text)
		return ""
	}
	return text
}

// names is the set of names that an expression may use.
type names map[string]bool

func (n names) with(more ...string) names {
	out := make(names, len(n)+len(more))
	for k := range n {
		out[k] = true
	}
	for _, k := range more {
		out[k] = true
	}
	return out
}

func (l *loader) expression(f field, allowed names) *expression {
	if !f.ok() {
		return nil
	}
	text := l.text(f)
	x, err := compileExpression(text)
	if err != nil {
		l.fail(f, "an expression", "%s", err)
		return nil
	}
	l.checkNames(f, x.free, allowed)
	return x
}

func (l *loader) checkNames(f field, free []string, allowed names) {
	for _, name := range free {
		if !allowed[name] {
			l.fail(f, "one of "+strings.Join(sortedKeys(allowed), ", "), "the name %q is not known here", name)
		}
	}
}

// fromPlatform are the names whose values come from a payload or from the
// platform; they must not add levels to a topic.
var fromPlatform = map[string]bool{
	"payload": true, "inputs": true, "value": true, "property": true, "service": true,
	"request": true, "item": true, "topic": true,
}

// template reads a template; captures are names taken from the platform's names.
func (l *loader) template(f field, allowed names, captures ...string) *template {
	if !f.ok() {
		return nil
	}
	t, err := parseTemplate(l.text(f))
	if err != nil {
		l.fail(f, "text with ${expression}", "%s", err)
		return nil
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.x == nil {
			continue
		}
		l.checkNames(f, p.x.free, allowed)
		p.slash = true
		for _, name := range p.x.free {
			if fromPlatform[name] || contains(captures, name) {
				p.slash = false
			}
		}
	}
	return t
}

// payloadTemplate reads a template for a payload and checks that JSON stays JSON.
func (l *loader) payloadTemplate(f field, allowed names) *template {
	t := l.template(f, allowed)
	if t == nil || !t.json {
		return t
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.x == nil:
			b.WriteString(p.literal)
		case !p.quoted:
			b.WriteString("0")
		}
	}
	if scanJSON([]byte(strings.TrimSpace(b.String())), maxListItems) != nil {
		l.fail(f, "JSON, as the text starts with { or [", "the payload is not JSON once its ${…} are filled")
	}
	return t
}
