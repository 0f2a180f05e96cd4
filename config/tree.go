package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// walker goes through the YAML of a file once. It takes out what fits the
// structs of Config, as viper wants it, and reports the rest with its place.
type walker struct {
	file     string
	problems []Problem
	places   map[string]*yaml.Node // key path to its value in the file
	profiles *yaml.Node
}

func (w *walker) report(n *yaml.Node, path, message, expected string) {
	w.problems = append(w.problems, Problem{
		File: w.file, Line: n.Line, Col: n.Column, Path: path, Message: message, Expected: expected,
	})
}

// section takes the keys of a mapping that are those of the struct t.
func (w *walker) section(n *yaml.Node, t reflect.Type, path string) map[string]any {
	n = resolveAlias(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		w.report(n, path, "is "+describe(n), wanted(t))
		return nil
	}
	known := map[string]reflect.Type{}
	for f := range fields(t) {
		known[f.name] = f.typ
	}
	if path == "" {
		known["profiles"] = nil
	}
	out := map[string]any{}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !w.first(key, seen, path) {
			continue
		}
		typ, ok := known[key.Value]
		if !ok || key.Kind != yaml.ScalarNode {
			w.unknown(key, path, slices.Sorted(maps.Keys(known)))
			continue
		}
		if path == "" && key.Value == "profiles" {
			w.profiles = value
			continue
		}
		if v := w.value(value, typ, join(path, key.Value)); v != nil {
			out[key.Value] = v
		}
	}
	return out
}

// first reports whether the key is the first of its name, case aside.
func (w *walker) first(key *yaml.Node, seen map[string]*yaml.Node, path string) bool {
	folded := strings.ToLower(key.Value)
	before := seen[folded]
	switch {
	case before == nil:
		seen[folded] = key
		return true
	case before.Value == key.Value:
		w.report(key, join(path, key.Value),
			fmt.Sprintf("is given twice, first in line %d", before.Line), "each key once")
	default:
		w.report(key, join(path, key.Value),
			fmt.Sprintf("differs only in case from %q in line %d", before.Value, before.Line), "one key, in lower case")
	}
	return false
}

func (w *walker) unknown(key *yaml.Node, path string, known []string) {
	full := join(path, key.Value)
	if key.Kind != yaml.ScalarNode {
		w.report(key, path, "has a key that is "+describe(key), "keys that are texts")
		return
	}
	if key.Value == "<<" {
		w.report(key, full, "merge keys are not read here", "the keys themselves")
		return
	}
	if strings.Contains(key.Value, ".") && slices.ContainsFunc(Keys(), func(k Key) bool { return k.Path == full }) {
		w.report(key, full, "a dot does not nest", strings.ReplaceAll(full, ".", ": {")+": …"+strings.Repeat("}", strings.Count(full, ".")))
		return
	}
	message := "unknown key"
	if n := nearest(key.Value, known); n != "" {
		message = fmt.Sprintf("unknown key, did you mean %q?", n)
	} else if other := elsewhere(key.Value); other != "" {
		message = fmt.Sprintf("unknown key here, did you mean %q?", other)
	}
	w.report(key, full, message, "one of "+strings.Join(known, ", "))
}

// elsewhere finds the one key of that name in another section.
func elsewhere(name string) string {
	found := ""
	for _, k := range Keys() {
		if k.Path != name && (k.Path == name || strings.HasSuffix(k.Path, "."+name)) {
			if found != "" {
				return ""
			}
			found = k.Path
		}
	}
	return found
}

// value takes one value for a key of type t; nil when it is not set or not usable.
func (w *walker) value(n *yaml.Node, t reflect.Type, path string) any {
	w.places[path] = n
	n = resolveAlias(n)
	switch {
	case isNull(n):
		return nil
	case isSection(t):
		if m := w.section(n, t, path); m != nil {
			return m
		}
		return nil
	case t == listType && n.Kind == yaml.SequenceNode:
		return w.list(n, path)
	case n.Kind != yaml.ScalarNode:
		w.report(n, path, "is "+describe(n), wanted(t))
		return nil
	case t == secretType, t == materialType:
		return w.secret(n, t, path)
	case n.Tag == "!!str":
		text, ok := w.text(n, path)
		if !ok {
			return nil
		}
		return text
	case t == versionType && n.Tag == "!!float":
		return n.Value
	case t.Kind() == reflect.String || t == listType:
		w.report(n, path, fmt.Sprintf("%s is %s", n.Value, describe(n)), fmt.Sprintf("a text, in quotes: %q", n.Value))
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		w.report(n, path, "cannot be read", wanted(t))
		return nil
	}
	return v
}

func (w *walker) list(n *yaml.Node, path string) any {
	out := []string{}
	for i, item := range n.Content {
		place := fmt.Sprintf("%s[%d]", path, i)
		w.places[place] = item
		item = resolveAlias(item)
		if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
			w.report(item, place, "is "+describe(item), "a text")
			continue
		}
		if text, ok := w.text(item, place); ok {
			out = append(out, text)
		}
	}
	return out
}

// text fills the references of a scalar.
func (w *walker) text(n *yaml.Node, path string) (string, bool) {
	parts, err := scanReferences(n.Value)
	if err != nil {
		w.report(n, path, err.Error(), referenceForms)
		return "", false
	}
	text, err := fill(parts)
	if err != nil {
		w.report(n, path, err.Error(), "a file or variable that is there")
		return "", false
	}
	return text, true
}

const referenceForms = "${env:NAME}, ${file:PATH}, or $${ for a literal ${"

// secret keeps the references of a scalar. Its text is never repeated in a problem.
func (w *walker) secret(n *yaml.Node, t reflect.Type, path string) any {
	if n.Tag != "!!str" {
		w.report(n, path, "is "+describe(n), "a text, in quotes")
		return nil
	}
	s, err := NewSecret(n.Value)
	if err != nil {
		w.report(n, path, err.Error(), referenceForms)
		return nil
	}
	if t == materialType {
		return Material{s}
	}
	return s
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe says in words what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!str":
		return "a text"
	case "!!timestamp":
		return "a date"
	default:
		return "of the tag " + n.Tag
	}
}
