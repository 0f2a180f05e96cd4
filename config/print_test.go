package config

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestTheSampleHoldsEveryKeyWithItsDefault(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(Sample(), &doc); err != nil {
		t.Fatal(err)
	}
	// The sample is a configuration of which only what is required is missing.
	c, problems := Parse(append(Sample(), []byte("# end\n")...), Options{File: "sample"})
	if c != nil {
		t.Error("the sample has nothing that must be filled in")
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "is not set") {
			t.Errorf("problem of the sample: %v", p)
		}
	}
	defaults := Default()
	for _, k := range Keys() {
		n := find(doc.Content[0], k.Path)
		if n == nil {
			t.Errorf("%s is missing in the sample", k.Path)
			continue
		}
		if want := Show(valueOf(&defaults, k.Path)); n.Value != want {
			t.Errorf("%s is %q in the sample, %q is the default", k.Path, n.Value, want)
		}
	}
	if got := leaves(doc.Content[0], ""); len(got) != len(Keys())+1 {
		t.Errorf("%d keys in the sample, %d in the code", len(got)-1, len(Keys()))
	}
}

func leaves(n *yaml.Node, path string) []string {
	var out []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		p := join(path, n.Content[i].Value)
		if n.Content[i+1].Kind == yaml.MappingNode {
			out = append(out, leaves(n.Content[i+1], p)...)
		} else {
			out = append(out, p)
		}
	}
	return out
}

func TestPrintGivesBackWhatWasLoaded(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "a.test")
	text := good + `outbox: {max_bytes: 64MiB, max_age: 36h, when_full: fold}
limits: {call_timeout: 1.5s}
allow: {things: ["pump-*", "$${literal}", "a, b"]}
log: {level: debug, format: json}
console: {listen: "[::1]:8480", metrics_public: true}
profiles:
  - preset: native
`
	text = strings.Replace(text, "  client_id", "  tls: {ca: \"${file:"+certFile+"}\", cert: "+certFile+", key: "+keyFile+", min_version: 1.3}\n  client_id", 1)
	c := parseGood(t, text)
	out, err := Print(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte("  app_key: <secret>\n")) || bytes.Contains(out, []byte("5d1f0b5e-key")) {
		t.Errorf("the key is not masked:\n%s", out)
	}
	again := parseGood(t, strings.Replace(string(out), "<secret>", "${env:CONFIG_TEST_KEY}", 1))
	for _, k := range Keys() {
		if diff := cmp.Diff(Show(valueOf(c, k.Path)), Show(valueOf(again, k.Path))); diff != "" {
			t.Errorf("%s (-loaded +printed and loaded):\n%s", k.Path, diff)
		}
	}
	if comments := bytes.Count(out, []byte("#")); comments < 60 {
		t.Errorf("only %d comments are left of the sample's", comments)
	}
	if !strings.Contains(string(out), "profiles:\n  - preset: native\n") {
		t.Errorf("the profiles are not printed:\n%s", out)
	}
}

func TestPrintOfTheDefaultsIsTheSample(t *testing.T) {
	c := Default()
	out, err := Print(&c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(Sample()), string(out)); diff != "" {
		t.Errorf("(-sample +printed):\n%s", diff)
	}
}

var docRow = regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]*) \\| ([^|]*) \\|")

// TestTheDocumentListsEveryKeyWithItsDefault keeps docs/configuration.md true.
func TestTheDocumentListsEveryKeyWithItsDefault(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range docRow.FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[row[1]]; twice {
			t.Errorf("%s is listed twice", row[1])
		}
		rows[row[1]] = strings.Trim(row[2], "` ")
	}
	defaults := Default()
	for _, k := range Keys() {
		want := Show(valueOf(&defaults, k.Path))
		got, ok := rows[k.Path]
		if !ok {
			t.Errorf("%s is missing", k.Path)
		} else if got != want && (want != "" || got != "none" && got != "required") {
			t.Errorf("%s has the default %q, the document says %q", k.Path, want, got)
		}
		delete(rows, k.Path)
	}
	for path := range rows {
		t.Errorf("%s is no key", path)
	}
}

// TestTheExamplesAreFine reads the files that people copy.
func TestTheExamplesAreFine(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples (%v)", len(files), err)
	}
	t.Setenv("MQTT_PASSWORD", "x")
	t.Setenv("PROXY_PASSWORD", "x")
	for _, file := range files {
		_, problems := Load(Options{File: file})
		for _, p := range problems {
			// The files that they name are not on this machine.
			if !p.Warning && !strings.Contains(p.Message, "no such file or directory") {
				t.Errorf("%v", p)
			}
		}
	}
}

// TestTheReadmeShowsTheMinimalExample keeps the two alike.
func TestTheReadmeShowsTheMinimalExample(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("..", "examples", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(example), "native topics: things/{thing}/announce and so on.\n")
	if !strings.Contains(string(readme), "```yaml\n"+body+"```") {
		t.Error("README.md does not show examples/minimal.yaml")
	}
}
