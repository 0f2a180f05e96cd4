package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// loadProfiles compiles the profiles. References are filled in the parameters
// of a profile (with, parameters) and nowhere else in it: everywhere else ${…}
// is the mapping's own. What was put in is not scanned again, because the
// mapping takes a parameter's value as it is.
func (l *loader) loadProfiles(c *Config) {
	node := l.profiles
	if node != nil && isNull(resolveAlias(node)) {
		node, c.ProfilesNode = nil, nil
	}
	if node != nil {
		node = l.fillProfiles(resolveAlias(node))
	}
	profiles, problems := mapping.Load(node, l.file, presets.Open)
	l.problems = append(l.problems, problems...)
	c.Profiles = profiles
}

func (l *loader) fillProfiles(list *yaml.Node) *yaml.Node {
	if list.Kind != yaml.SequenceNode {
		return list
	}
	out := copyNode(list)
	for i, item := range list.Content {
		item = resolveAlias(item)
		if item.Kind != yaml.MappingNode {
			continue
		}
		profile := copyNode(item)
		for j := 0; j+1 < len(item.Content); j += 2 {
			if key := item.Content[j].Value; key == "with" || key == "parameters" {
				profile.Content[j+1] = l.fillParameters(resolveAlias(item.Content[j+1]), fmt.Sprintf("profiles[%d].%s", i, key))
			}
		}
		out.Content[i] = profile
	}
	return out
}

func (l *loader) fillParameters(n *yaml.Node, path string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	out := copyNode(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := resolveAlias(n.Content[i+1])
		if value.Kind != yaml.ScalarNode || value.Tag != "!!str" {
			continue
		}
		text, ok := l.text(value, join(path, n.Content[i].Value))
		if !ok {
			// The reference itself must not be taken for the mapping's ${…} too.
			text = "unknown"
		}
		filled := *value
		filled.Value, filled.Anchor = text, ""
		out.Content[i+1] = &filled
	}
	return out
}

// copyNode copies a node and its list of children, not the children.
func copyNode(n *yaml.Node) *yaml.Node {
	out := *n
	out.Content = append([]*yaml.Node(nil), n.Content...)
	return &out
}
