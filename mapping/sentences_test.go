package mapping_test

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"thingbridge/mapping/cases"
)

var update = flag.Bool("update", false, "write the wants of the cases under testdata from what comes out")

// TestSentences runs testdata/sentences: what the language's words promise, case by case.
func TestSentences(t *testing.T) {
	files, err := cases.Files("testdata/sentences")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
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
