package config

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse holds that no text makes the loader panic or hang, that it gives
// either a configuration or a reason, and that what it accepts can be printed
// and is accepted again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(Sample())
	f.Add([]byte(good))
	f.Add([]byte("a: &a [*a]\nplatform: *a\n"))
	f.Add([]byte("a: &a {b: *a}\n<<: *a\nprofiles: *a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			t.Skip("large texts only repeat small ones")
		}
		c, problems := Parse(text, Options{File: "fuzz.yaml"})
		if (c == nil) != Errors(problems) {
			t.Fatalf("configuration %v and problems %v", c != nil, problems)
		}
		if c == nil {
			return
		}
		if _, err := Print(c); err != nil {
			t.Fatalf("print: %v", err)
		}
	})
}
