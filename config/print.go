package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// sample is the full commented configuration with every default. Print fills it.
//
//go:embed sample.yaml
var sample []byte

// Sample gives the full commented configuration, every key with its default.
func Sample() []byte { return bytes.Clone(sample) }

// Print gives the full commented configuration with the values of c. Secrets
// are masked; profiles stand as they were written.
func Print(c *Config) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(sample, &doc); err != nil {
		return nil, fmt.Errorf("sample configuration: %w", err)
	}
	root := doc.Content[0]
	for _, k := range Keys() {
		n := find(root, k.Path)
		if n == nil {
			return nil, fmt.Errorf("sample configuration: no key %s", k.Path)
		}
		set(n, valueOf(c, k.Path))
	}
	if c.ProfilesNode != nil {
		n := find(root, "profiles")
		profiles := *resolveAlias(c.ProfilesNode)
		profiles.HeadComment, profiles.LineComment = n.HeadComment, n.LineComment
		*n = profiles
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return spaced(b.Bytes()), nil
}

// spaced puts back the empty lines between sections, which the YAML library drops.
func spaced(text []byte) []byte {
	var out []byte
	before := []byte("#")
	for line := range bytes.Lines(text) {
		if line[0] == '#' && before[0] != '#' && before[0] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, line...)
		before = line
	}
	return out
}

// find goes to the value of a key.
func find(n *yaml.Node, path string) *yaml.Node {
	name, rest, deeper := strings.Cut(path, ".")
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != name {
			continue
		}
		if deeper {
			return find(n.Content[i+1], rest)
		}
		return n.Content[i+1]
	}
	return nil
}

// set puts a value into a node and leaves its comments.
func set(n *yaml.Node, value any) {
	if list, ok := value.([]string); ok {
		n.Kind, n.Tag, n.Value, n.Content = yaml.SequenceNode, "!!seq", "", nil
		n.Style = yaml.FlowStyle
		for _, item := range list {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: escape(item)})
		}
		return
	}
	text, tag := Show(value), "!!str"
	switch value.(type) {
	case bool:
		tag = "!!bool"
	case int:
		tag = "!!int"
	case Material:
	default:
		text = escape(text)
	}
	n.Kind, n.Tag, n.Value, n.Style = yaml.ScalarNode, tag, text, 0
	if text == "" || reflect.TypeOf(value) == versionType {
		n.Style = yaml.DoubleQuotedStyle
	}
}

// escape keeps a text from being read as a reference. What a Material prints
// may be one, and stays it.
func escape(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// Show gives a key's value as it is written in the file; a secret is masked.
func Show(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return FormatDuration(v)
	case []string:
		return strings.Join(v, ", ")
	default:
		return fmt.Sprint(v)
	}
}
