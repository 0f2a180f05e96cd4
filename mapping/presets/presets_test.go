package presets_test

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

func TestEveryPresetLoadsWithoutAWord(t *testing.T) {
	names := presets.Names()
	if len(names) == 0 {
		t.Fatal("there are no presets")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			var list yaml.Node
			if err := yaml.Unmarshal([]byte("[{preset: "+name+"}]"), &list); err != nil {
				t.Fatal(err)
			}
			p, problems := mapping.Load(&list, "test.yaml", presets.Open)
			for _, problem := range problems {
				t.Error(problem)
			}
			if p == nil {
				t.Fatal("the preset does not load")
			}
			if len(mapping.NewEngine(p, mapping.Options{}).Filters()) == 0 {
				t.Error("the preset listens to nothing")
			}
		})
	}
}

func TestOpenKnowsPresetsOnly(t *testing.T) {
	for _, name := range []string{"", "nope", "../presets", "native.yaml", "."} {
		if _, ok := presets.Open(name); ok {
			t.Errorf("%q is opened", name)
		}
	}
	if b, ok := presets.Open("native"); !ok || len(b) == 0 {
		t.Error("native is not opened")
	}
}
