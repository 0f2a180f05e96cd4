package alwayson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// The structs below are GetMetadata's answer as JSON. Members keep the order of
// the definitions, see members; what must always be present has no omitempty (rule G1).

type metadataJSON struct {
	Name         string                `json:"name"`
	Description  string                `json:"description"`
	SystemObject bool                  `json:"isSystemObject"`
	Properties   members[propertyJSON] `json:"propertyDefinitions"`
	Services     members[serviceJSON]  `json:"serviceDefinitions"`
	Events       members[eventJSON]    `json:"eventDefinitions"`
}

type propertyJSON struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	BaseType    string          `json:"baseType"`
	Aspects     propertyAspects `json:"aspects"`
}

type propertyAspects struct {
	PushType      string        `json:"pushType"`
	PushThreshold lenientNumber `json:"pushThreshold"`
	DataShape     string        `json:"dataShape,omitempty"`
	ReadOnly      bool          `json:"isReadOnly,omitempty"`
	Units         string        `json:"units,omitempty"`
}

type fieldJSON struct {
	Name        string       `json:"name"`
	Description string       `json:"description"`
	BaseType    string       `json:"baseType"`
	Aspects     fieldAspects `json:"aspects"`
}

type fieldAspects struct {
	DataShape string `json:"dataShape,omitempty"`
	Required  bool   `json:"isRequired,omitempty"`
}

type serviceJSON struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Aspects     struct{}   `json:"aspects"`
	Inputs      inputsJSON `json:"Inputs"`
	Outputs     outputJSON `json:"Outputs"`
}

type inputsJSON struct {
	Fields members[fieldJSON] `json:"fieldDefinitions"`
}

type outputJSON struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	BaseType    string             `json:"baseType"`
	Aspects     fieldAspects       `json:"aspects"`
	Fields      members[fieldJSON] `json:"fieldDefinitions"`
}

type eventJSON struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Aspects     struct{}      `json:"aspects"`
	Data        eventDataJSON `json:"EventData"`
}

type eventDataJSON struct {
	Name    string             `json:"name"`
	Fields  members[fieldJSON] `json:"fieldDefinitions"`
	Aspects eventDataAspects   `json:"aspects"`
}

type eventDataAspects struct {
	DataShape string `json:"dataShape"`
}

// lenientNumber reads anything that is not a number as 0.
type lenientNumber float64

func (n *lenientNumber) UnmarshalJSON(b []byte) error {
	var f float64
	if json.Unmarshal(b, &f) != nil {
		f = 0
	}
	*n = lenientNumber(f)
	return nil
}

type member[T any] struct {
	name  string
	value T
}

// members is a JSON object whose members keep their order. Of members with
// the same name only the first is written.
type members[T any] []member[T]

func (m members[T]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	seen := make(map[string]bool, len(m))
	for _, e := range m {
		if seen[e.name] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[e.name] = true
		if err := enc.Encode(e.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(e.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (m *members[T]) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	start, err := dec.Token()
	if err != nil {
		return err
	}
	if start == nil {
		return nil
	}
	if start != json.Delim('{') {
		return fmt.Errorf("%s where an object of definitions should be", b[:min(len(b), 20)])
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		e := member[T]{name: name.(string)}
		if err := dec.Decode(&e.value); err != nil {
			return fmt.Errorf("%q: %w", e.name, err)
		}
		*m = append(*m, e)
	}
	return nil
}

// JSON returns m as GetMetadata answers it, in a table with one field "result"
// of type JSON (see NewResult). Definitions keep their order. Names that are not valid
// UTF-8 are shown with U+FFFD.
func (m Metadata) JSON() []byte {
	j := metadataJSON{Name: m.Name, Description: m.Description}
	for _, p := range m.Properties {
		j.Properties = append(j.Properties, member[propertyJSON]{p.Name, propertyJSON{
			Name: p.Name, Description: p.Description, BaseType: p.Type.String(),
			Aspects: propertyAspects{
				PushType: p.Push.String(), PushThreshold: finite(p.Threshold), DataShape: shapeOf(p.FieldDefinition),
				ReadOnly: p.ReadOnly, Units: p.Unit,
			},
		}})
	}
	for _, s := range m.Services {
		j.Services = append(j.Services, member[serviceJSON]{s.Name, serviceJSON{
			Name: s.Name, Description: s.Description, Inputs: inputsJSON{fieldsJSON(s.Inputs)},
			Outputs: outputJSON{
				Name: resultName, Description: s.Output.Description, BaseType: s.Output.Type.String(),
				Aspects: fieldAspects{DataShape: shapeOf(s.Output)}, Fields: fieldsJSON(s.Output.Fields),
			},
		}})
	}
	for _, e := range m.Events {
		j.Events = append(j.Events, member[eventJSON]{e.Name, eventJSON{
			Name: e.Name, Description: e.Description,
			Data: eventDataJSON{Name: e.DataShape, Fields: fieldsJSON(e.Fields), Aspects: eventDataAspects{e.DataShape}},
		}})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(j) // cannot fail: structs of texts and finite numbers, into memory
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func finite(f float64) lenientNumber {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return lenientNumber(f)
}

// shapeOf is the data shape that f names, which only an INFOTABLE does.
func shapeOf(f FieldDefinition) string {
	if f.Type != TypeInfoTable {
		return ""
	}
	return f.DataShape
}

func fieldsJSON(fields []FieldDefinition) members[fieldJSON] {
	m := make(members[fieldJSON], 0, len(fields))
	for _, f := range fields {
		m = append(m, member[fieldJSON]{f.Name, fieldJSON{
			Name: f.Name, Description: f.Description, BaseType: f.Type.String(),
			Aspects: fieldAspects{DataShape: shapeOf(f), Required: f.Required},
		}})
	}
	return m
}

// ParseMetadata reads the JSON of a GetMetadata answer. A definition's name is
// the name it is listed under; a base type that is missing or unknown is
// STRING, of a service's output NOTHING; members that are not known are skipped.
func ParseMetadata(b []byte) (Metadata, error) {
	var j metadataJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return Metadata{}, fmt.Errorf("parse metadata: %w", err)
	}
	m := Metadata{Name: j.Name, Description: j.Description}
	for _, p := range j.Properties {
		d := PropertyDefinition{
			FieldDefinition: FieldDefinition{
				Name: p.name, Description: p.value.Description, Type: typeOf(p.value.BaseType, TypeString), DataShape: p.value.Aspects.DataShape,
			},
			Threshold: float64(p.value.Aspects.PushThreshold), ReadOnly: p.value.Aspects.ReadOnly, Unit: p.value.Aspects.Units,
		}
		d.Push, _ = ParsePushType(p.value.Aspects.PushType)
		m.Properties = append(m.Properties, d)
	}
	for _, s := range j.Services {
		out := s.value.Outputs
		m.Services = append(m.Services, ServiceDefinition{
			Name: s.name, Description: s.value.Description, Inputs: definitions(s.value.Inputs.Fields),
			Output: FieldDefinition{
				Name: resultName, Description: out.Description, Type: typeOf(out.BaseType, TypeNothing),
				DataShape: out.Aspects.DataShape, Fields: definitions(out.Fields),
			},
		})
	}
	for _, e := range j.Events {
		m.Events = append(m.Events, EventDefinition{
			Name: e.name, Description: e.value.Description, Fields: definitions(e.value.Data.Fields), DataShape: e.value.Data.Aspects.DataShape,
		})
	}
	return m, nil
}

func typeOf(name string, otherwise BaseType) BaseType {
	if t, ok := ParseBaseType(name); ok {
		return t
	}
	return otherwise
}

func definitions(fields members[fieldJSON]) []FieldDefinition {
	var defs []FieldDefinition
	for _, f := range fields {
		defs = append(defs, FieldDefinition{
			Name: f.name, Description: f.value.Description, Type: typeOf(f.value.BaseType, TypeString),
			Required: f.value.Aspects.Required, DataShape: f.value.Aspects.DataShape,
		})
	}
	return defs
}
