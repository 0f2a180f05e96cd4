package alwayson

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

var pump = Metadata{
	Name: "pump-1", Description: `a "pump" <&>`,
	Properties: []PropertyDefinition{
		{FieldDefinition: FieldDefinition{Name: "speed", Description: "rpm", Type: TypeNumber}, Push: PushDeadband, Threshold: 0.5, Unit: "1/min"},
		{FieldDefinition: FieldDefinition{Name: "alarms", Type: TypeInfoTable, DataShape: "AlarmShape"}, Push: PushAlways, ReadOnly: true},
	},
	Services: []ServiceDefinition{
		{Name: "Stop", Output: FieldDefinition{Name: "result", Type: TypeNothing}},
		{Name: "History", Description: "d", Inputs: []FieldDefinition{
			{Name: "from", Type: TypeDateTime, Required: true}, {Name: "filter", Type: TypeInfoTable, DataShape: "F"},
		}, Output: FieldDefinition{Name: "result", Type: TypeInfoTable, DataShape: "H", Fields: []FieldDefinition{{Name: "t", Type: TypeDateTime}}}},
	},
	Events: []EventDefinition{
		{Name: "Overheat", Fields: []FieldDefinition{{Name: "message", Type: TypeString}}, DataShape: "E"},
		{Name: "Bare"},
	},
}

const pumpJSON = `{"name":"pump-1","description":"a \"pump\" <&>","isSystemObject":false,` +
	`"propertyDefinitions":{` +
	`"speed":{"name":"speed","description":"rpm","baseType":"NUMBER","aspects":{"pushType":"DEADBAND","pushThreshold":0.5,"units":"1/min"}},` +
	`"alarms":{"name":"alarms","description":"","baseType":"INFOTABLE","aspects":{"pushType":"ALWAYS","pushThreshold":0,"dataShape":"AlarmShape","isReadOnly":true}}},` +
	`"serviceDefinitions":{` +
	`"Stop":{"name":"Stop","description":"","aspects":{},"Inputs":{"fieldDefinitions":{}},"Outputs":{"name":"result","baseType":"NOTHING","aspects":{},"fieldDefinitions":{}}},` +
	`"History":{"name":"History","description":"d","aspects":{},"Inputs":{"fieldDefinitions":{` +
	`"from":{"name":"from","description":"","baseType":"DATETIME","aspects":{"isRequired":true}},` +
	`"filter":{"name":"filter","description":"","baseType":"INFOTABLE","aspects":{"dataShape":"F"}}}},` +
	`"Outputs":{"name":"result","baseType":"INFOTABLE","aspects":{"dataShape":"H"},"fieldDefinitions":{"t":{"name":"t","description":"","baseType":"DATETIME","aspects":{}}}}}},` +
	`"eventDefinitions":{` +
	`"Overheat":{"name":"Overheat","description":"","aspects":{},"EventData":{"name":"E","fieldDefinitions":{"message":{"name":"message","description":"","baseType":"STRING","aspects":{}}},"aspects":{"dataShape":"E"}}},` +
	`"Bare":{"name":"Bare","description":"","aspects":{},"EventData":{"name":"","fieldDefinitions":{},"aspects":{"dataShape":""}}}}}`

func TestMetadataHasTheShapeThatComposerBrowses(t *testing.T) {
	if got := string(pump.JSON()); got != pumpJSON {
		t.Errorf("got\n%s\nwant\n%s", got, pumpJSON)
	}
	got, err := ParseMetadata([]byte(pumpJSON))
	if err != nil || !reflect.DeepEqual(got, pump) {
		t.Errorf("parsed %+v, err %v; want %+v", got, err, pump)
	}
	empty := `{"name":"","description":"","isSystemObject":false,"propertyDefinitions":{},"serviceDefinitions":{},"eventDefinitions":{}}`
	if got := string(Metadata{}.JSON()); got != empty {
		t.Errorf("empty: %s", got)
	}
}

func TestMetadataStaysJSONWhateverItsNames(t *testing.T) {
	m := Metadata{Name: "a\xffb", Properties: []PropertyDefinition{
		{FieldDefinition: FieldDefinition{Name: "x\x00\"\\\u2028", Type: 77, DataShape: "not for this type"}, Threshold: math.Inf(1), Push: 99},
		{FieldDefinition: FieldDefinition{Name: "x\x00\"\\\u2028", Type: TypeNumber}},
	}}
	b := m.JSON()
	if !json.Valid(b) || strings.Contains(string(b), "not for this type") {
		t.Fatalf("%s", b)
	}
	got, err := ParseMetadata(b)
	if err != nil || len(got.Properties) != 1 || got.Properties[0].Name != m.Properties[0].Name || got.Properties[0].Type != TypeString {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMetadataIsReadTolerantly(t *testing.T) {
	m, err := ParseMetadata([]byte(`{"name":"T","extra":[1],"propertyDefinitions":{"p":{"baseType":"number","aspects":{"pushThreshold":"many"}}},` +
		`"serviceDefinitions":{"s":{"Inputs":{},"Outputs":null}},"eventDefinitions":null}`))
	if err != nil || m.Properties[0].Type != TypeNumber || m.Services[0].Output.Type != TypeNothing || m.Services[0].Inputs != nil || m.Events != nil {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "[]", `{"name":1}`, `{"propertyDefinitions":[]}`, `{"propertyDefinitions":{"a":1}}`, `{"serviceDefinitions":"x"}`} {
		if _, err := ParseMetadata([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
