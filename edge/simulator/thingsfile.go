package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// readThingsFile reads a YAML or JSON file of Things: a list of them, or
// {things: […], dataShapes: {…}}. Every problem is reported with file, line and column.
func readThingsFile(path string) ([]ThingSpec, map[string]shapeSpec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read things file: %w", err)
	}
	specs, shapes, err := parseThings(path, text)
	if err != nil {
		return nil, nil, fmt.Errorf("read things file:\n%w", err)
	}
	return specs, shapes, nil
}

func parseThings(path string, text []byte) ([]ThingSpec, map[string]shapeSpec, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &specReader{path: path}
	var specs []ThingSpec
	shapes := map[string]shapeSpec{}
	if len(doc.Content) == 0 {
		return nil, nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.SequenceNode {
		r.things(root, &specs)
	} else {
		r.object(root, "file", map[string]func(*yaml.Node){
			"things":     func(n *yaml.Node) { r.things(n, &specs) },
			"dataShapes": func(n *yaml.Node) { r.shapes(n, shapes) },
		})
	}
	return specs, shapes, errors.Join(r.errs...)
}

// specReader reads nodes strictly and collects what is wrong.
type specReader struct {
	path string
	errs []error
}

func (r *specReader) fail(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s", r.path, n.Line, n.Column, fmt.Sprintf(format, args...)))
}

// object reads a mapping whose keys are all known.
func (r *specReader) object(n *yaml.Node, what string, fields map[string]func(*yaml.Node)) {
	r.entries(n, what, func(k, v *yaml.Node) {
		if read := fields[k.Value]; read != nil {
			read(v)
			return
		}
		r.fail(k, "%s: unknown key %q", what, k.Value)
	})
}

// entries reads a mapping with any keys.
func (r *specReader) entries(n *yaml.Node, what string, each func(k, v *yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s: expected a mapping", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if seen[k.Value] {
			r.fail(k, "%s: key %q stands twice", what, k.Value)
			continue
		}
		seen[k.Value] = true
		each(k, n.Content[i+1])
	}
}

// into reads a scalar of to's type.
func (r *specReader) into(to any, what, want string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Decode(to) != nil || n.Kind != yaml.ScalarNode {
			r.fail(n, "%s: expected %s", what, want)
		}
	}
}

func (r *specReader) text(to *string, what string) func(*yaml.Node) {
	return r.into(to, what, "a text")
}

func (r *specReader) things(n *yaml.Node, to *[]ThingSpec) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "things: expected a list")
		return
	}
	for _, item := range n.Content {
		var s ThingSpec
		r.object(item, "thing", map[string]func(*yaml.Node){
			"name":        r.text(&s.Name, "name"),
			"identifier":  r.text(&s.Identifier, "identifier"),
			"template":    r.text(&s.Template, "template"),
			"description": r.text(&s.Description, "description"),
			"properties": func(n *yaml.Node) {
				s.Properties = map[string]PropertySpec{}
				r.entries(n, "properties", func(k, v *yaml.Node) { s.Properties[k.Value] = r.property(v, "property "+k.Value) })
			},
			"services": func(n *yaml.Node) {
				s.Services = map[string]ServiceSpec{}
				r.entries(n, "services", func(k, v *yaml.Node) { s.Services[k.Value] = r.service(v, "service "+k.Value) })
			},
			"events": func(n *yaml.Node) {
				s.Events = map[string]EventSpec{}
				r.entries(n, "events", func(k, v *yaml.Node) { s.Events[k.Value] = r.event(v, "event "+k.Value) })
			},
		})
		if item.Kind == yaml.MappingNode && checkName(s.Name) != nil {
			r.fail(item, "thing: %v", checkName(s.Name))
		}
		*to = append(*to, s)
	}
}

func (r *specReader) property(n *yaml.Node, what string) (s PropertySpec) {
	if n.Kind == yaml.ScalarNode {
		s.Type = n.Value
	} else {
		r.object(n, what, map[string]func(*yaml.Node){
			"type":        r.text(&s.Type, what+" type"),
			"description": r.text(&s.Description, what+" description"),
			"remote":      r.text(&s.Remote, what+" remote"),
			"push":        r.text(&s.Push, what+" push"),
			"threshold":   r.into(&s.Threshold, what+" threshold", "a number"),
			"cacheTime":   r.into(&s.CacheTime, what+" cacheTime", "a whole number of milliseconds"),
			"readOnly":    r.into(&s.ReadOnly, what+" readOnly", "true or false"),
			"local":       r.into(&s.Local, what+" local", "true or false"),
			"dataShape":   r.text(&s.DataShape, what+" dataShape"),
			"default":     func(n *yaml.Node) { s.Default = r.json(n, what+" default") },
		})
	}
	r.check(n, FieldSpec{Type: s.Type}, what)
	return s
}

// json reads any value as the JSON it stands for.
func (r *specReader) json(n *yaml.Node, what string) json.RawMessage {
	var v any
	err := n.Decode(&v)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(v); err == nil {
			return text
		}
	}
	r.fail(n, "%s: %v", what, err)
	return nil
}

func (r *specReader) service(n *yaml.Node, what string) (s ServiceSpec) {
	r.object(n, what, map[string]func(*yaml.Node){
		"description": r.text(&s.Description, what+" description"),
		"remote":      r.text(&s.Remote, what+" remote"),
		"inputs":      func(n *yaml.Node) { s.Inputs = r.fields(n, what) },
		"output":      func(n *yaml.Node) { s.Output = r.field(n, what+" output") },
	})
	return s
}

func (r *specReader) event(n *yaml.Node, what string) (s EventSpec) {
	r.object(n, what, map[string]func(*yaml.Node){
		"description": r.text(&s.Description, what+" description"),
		"dataShape":   r.text(&s.DataShape, what+" dataShape"),
		"fields":      func(n *yaml.Node) { s.Fields = r.fields(n, what) },
	})
	return s
}

func (r *specReader) shapes(n *yaml.Node, to map[string]shapeSpec) {
	r.entries(n, "dataShapes", func(k, v *yaml.Node) {
		var s shapeSpec
		r.object(v, "data shape "+k.Value, map[string]func(*yaml.Node){
			"description": r.text(&s.description, "data shape description"),
			"fields":      func(n *yaml.Node) { s.fields = r.fields(n, "data shape "+k.Value) },
		})
		to[k.Value] = s
	})
}

func (r *specReader) fields(n *yaml.Node, what string) map[string]FieldSpec {
	fields := map[string]FieldSpec{}
	r.entries(n, what+" fields", func(k, v *yaml.Node) { fields[k.Value] = r.field(v, what+" field "+k.Value) })
	return fields
}

func (r *specReader) field(n *yaml.Node, what string) (s FieldSpec) {
	if n.Kind == yaml.ScalarNode {
		s.Type = n.Value
	} else {
		r.object(n, what, map[string]func(*yaml.Node){
			"type":        r.text(&s.Type, what+" type"),
			"description": r.text(&s.Description, what+" description"),
			"required":    r.into(&s.Required, what+" required", "true or false"),
			"dataShape":   r.text(&s.DataShape, what+" dataShape"),
		})
	}
	r.check(n, s, what)
	return s
}

// check reports a base type that does not exist where it stands.
func (r *specReader) check(n *yaml.Node, s FieldSpec, what string) {
	if _, err := s.definition("", what); err != nil {
		r.fail(n, "%v", err)
	}
}
