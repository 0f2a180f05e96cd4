package mapping_test

import (
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// A QUERY is text for a device, as its vector prim_query has it on the wire; one that is
// given as an object becomes that text.
func TestAQueryIsText(t *testing.T) {
	const query = `{"filters":{"type":"EQ"}}`
	def := &alwayson.FieldDefinition{Name: "q", Type: alwayson.TypeQuery}
	for name, given := range map[string]any{
		"text":   query,
		"object": map[string]any{"filters": map[string]any{"type": "EQ"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := mapping.Convert(def, given)
			if err != nil || v.Type() != alwayson.TypeQuery || v.Text() != query {
				t.Fatalf("converted to %v %q, %v", v.Type(), v.Text(), err)
			}
			if back := mapping.ToJSON(v); back != query {
				t.Errorf("a device gets %v", back)
			}
		})
	}
}
