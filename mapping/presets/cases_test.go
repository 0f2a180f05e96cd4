package presets_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"thingbridge/mapping/cases"
	"thingbridge/mapping/presets"
)

var update = flag.Bool("update", false, "write the wants of the cases under testdata from what comes out")

// TestCases runs testdata/PRESET/*.txtar.
func TestCases(t *testing.T) {
	files, err := cases.Files("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		family := filepath.Base(filepath.Dir(file))
		t.Run(family+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			if _, known := presets.Open(family); !known {
				t.Errorf("there is no preset %s", family)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "preset: "+family) {
				t.Errorf("%s does not try the preset %s", file, family)
			}
			differences, err := cases.RunFile(file, *update)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range differences {
				t.Error(d)
			}
		})
	}
}
