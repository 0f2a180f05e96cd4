package cases_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"thingbridge/mapping"
	"thingbridge/mapping/cases"
	"thingbridge/mapping/presets"
)

var update = flag.Bool("update", false, "write the wants of the examples in docs from what comes out")

var (
	fencedCase = regexp.MustCompile("(?s)(\n```txtar\n)(.*?)(```\n)")
	fencedYAML = regexp.MustCompile("(?s)\n```yaml\n(.*?)```\n")
)

// TestTheExamplesOfTheDocumentation runs each case that stands in docs.
func TestTheExamplesOfTheDocumentation(t *testing.T) {
	for _, file := range documents(t) {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		number := 0
		after := fencedCase.ReplaceAllStringFunc(string(before), func(block string) string {
			parts := fencedCase.FindStringSubmatch(block)
			number++
			archive := txtar.Parse([]byte(parts[2]))
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), number), func(t *testing.T) {
				differences, err := cases.Run(filepath.Base(file), archive, *update)
				if err != nil {
					t.Errorf("%v\n%s", err, parts[2])
				}
				for _, d := range differences {
					t.Error(d)
				}
			})
			return parts[1] + string(txtar.Format(archive)) + parts[3]
		})
		if filepath.Base(file) == "mapping.md" && number < 10 {
			t.Errorf("%s has %d cases", file, number)
		}
		if *update && after != string(before) {
			if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTheProfilesOfTheDocumentationLoad loads the lists of profiles that stand
// in docs on their own.
func TestTheProfilesOfTheDocumentationLoad(t *testing.T) {
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fencedYAML.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[1], "profiles:") {
				continue
			}
			var doc struct{ Profiles yaml.Node }
			if err := yaml.Unmarshal([]byte(m[1]), &doc); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, m[1])
			}
			if p, problems := mapping.Load(&doc.Profiles, filepath.Base(file), presets.Open); p == nil {
				t.Errorf("%v\n%s", problems, m[1])
			}
		}
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../../docs/*.md", "../../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// TestTheExamples runs the cases beside the examples. Their profiles are those of an
// example.
func TestTheExamples(t *testing.T) {
	files, err := cases.Files("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "../../examples/"), func(t *testing.T) {
			differences, err := cases.RunFile(file, *update)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range differences {
				t.Error(d)
			}
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var tried any
			if err := yaml.Unmarshal(archive.Files[0].Data, &tried); err != nil {
				t.Fatal(err)
			}
			examples, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, example := range examples {
				text, err := os.ReadFile(example)
				if err != nil {
					t.Fatal(err)
				}
				var doc struct{ Profiles any }
				if err := yaml.Unmarshal(text, &doc); err == nil && reflect.DeepEqual(doc.Profiles, tried) {
					return
				}
			}
			t.Errorf("its profiles are those of none of %q", examples)
		})
	}
}
