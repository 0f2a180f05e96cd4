package mapping

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// nodeOf makes YAML nodes of decoded data, so that rules that come with an
// announcement are read as those of a file are.
func nodeOf(v any, depth int) *yaml.Node {
	if depth > maxDepth {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, k := range sortedKeys(v) {
			n.Content = append(n.Content, nodeOf(k, depth+1), nodeOf(v[k], depth+1))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v {
			n.Content = append(n.Content, nodeOf(item, depth+1))
		}
		return n
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: string(appendFloat(nil, v))}
	case time.Duration:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v.String()}
	}
	text, _ := templateText(v)
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// dataOf gives the plain data of a node.
func dataOf(n *yaml.Node, depth int) any {
	n = resolve(n)
	if isNull(n) || depth > maxDepth {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = dataOf(n.Content[i+1], depth+1)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = dataOf(item, depth+1)
		}
		return list
	}
	switch n.Tag {
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if v := numericText(n.Value); v != nil {
			return v
		}
		var f float64
		if n.Decode(&f) == nil {
			return f
		}
	}
	return n.Value
}

// locate finds the node under f that a path of keys leads to.
func locate(f field, path []string) field {
	for _, key := range path {
		n := resolve(f.n)
		found := false
		if n != nil && n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == key {
					f = field{n: resolve(n.Content[i+1]), path: f.sub(key)}
					found = true
					break
				}
			}
		}
		if !found {
			break
		}
	}
	return f
}
