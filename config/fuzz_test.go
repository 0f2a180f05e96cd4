package config

import (
	"flag"
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
	for i, file := range files {
		if !seeded(i, len(files)) {
			continue
		}
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

// seeded reports whether the i-th of n seeds is added: each in a test, some forty
// while a target is fuzzed, where their coverage is gathered before anything else and
// hundreds take longer than the whole of a short run.
func seeded(i, n int) bool {
	return flag.Lookup("test.fuzz").Value.String() == "" || i%(1+n/40) == 0
}
