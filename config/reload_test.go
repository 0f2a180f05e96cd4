package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryKeyIsClassed has whoever adds a key say what a running bridge does
// when it changes: in classes, and in the table of docs/configuration.md.
func TestEveryKeyIsClassed(t *testing.T) {
	listed := classesInDocs(t)
	for _, path := range append(keyPaths(), ProfilesKey) {
		class, said := classOf(path)
		if !said {
			t.Errorf("config/reload.go says nothing of what happens when %s changes", path)
		}
		if got := listed(path); got != class {
			t.Errorf("docs/configuration.md, What a change does: %s is %q there and %q in config/reload.go", path, got, class)
		}
	}
}

func keyPaths() []string {
	var paths []string
	for _, k := range Keys() {
		paths = append(paths, k.Path)
	}
	return paths
}

// docWords are the classes as the documentation has them.
var docWords = map[string]Class{
	"at once": AtOnce, "new connection to the platform": PlatformAnew, "new connection to the broker": BrokerAnew, "restart": Restart,
}

// classesInDocs reads the table: | what happens | `key`, `section.*` |.
func classesInDocs(t *testing.T) func(path string) Class {
	t.Helper()
	b, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "## What a change does")
	if !ok {
		t.Fatal("docs/configuration.md has no section: What a change does")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	classes := map[string]Class{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		class, known := docWords[strings.TrimSpace(cells[1])]
		if !known {
			continue
		}
		for i, word := range strings.Split(cells[2], "`") {
			if i%2 == 1 {
				classes[strings.TrimSuffix(word, ".*")] = class
			}
		}
	}
	if len(classes) < 5 {
		t.Fatalf("the table was not read: %v", classes)
	}
	return func(path string) Class {
		for p := path; p != ""; p = p[:max(strings.LastIndexByte(p, '.'), 0)] {
			if class, ok := classes[p]; ok {
				return class
			}
		}
		return ""
	}
}

func TestEveryKeyThatChangesIsTold(t *testing.T) {
	for _, k := range Keys() {
		a, b := Default(), Default()
		field := fieldAt(reflect.ValueOf(&b).Elem(), k.Path)
		switch v := field.Interface().(type) {
		case Secret:
			field.Set(reflect.ValueOf(LiteralSecret("x")))
		case Material:
			m, err := NewMaterial("x.pem")
			if err != nil {
				t.Fatal(err)
			}
			field.Set(reflect.ValueOf(m))
		case bool:
			field.SetBool(!v)
		case []string:
			field.Set(reflect.ValueOf([]string{"x"}))
		default:
			if field.Kind() == reflect.String {
				field.SetString("other")
			} else {
				field.SetInt(field.Int() + 1)
			}
		}
		if got := Changes(&a, &b); !slices.Equal(got, []string{k.Path}) {
			t.Errorf("%s was changed, and %v is told", k.Path, got)
		}
	}
}

func TestSecretsDifferByTheirReferences(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	parse := func(key string) *Config {
		if err := os.WriteFile(file, []byte(time.Now().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := Parse([]byte("platform: {url: ws://h/Thingworx/WS, app_key: '"+key+"'}\nmqtt: {broker: tcp://h, client_id: c}\n"), Options{})
		if c == nil {
			t.Fatal(problems)
		}
		return c
	}
	same, again, other := parse("${file:"+file+"}"), parse("${file:"+file+"}"), parse("literal")
	if got := Changes(same, again); len(got) > 0 {
		t.Errorf("the same reference to a file with another content: %v is told", got)
	}
	if got := Changes(same, other); !slices.Equal(got, []string{"platform.app_key"}) {
		t.Errorf("another key: %v is told", got)
	}
}

func TestWhatNeedsARestartStays(t *testing.T) {
	a, b := Default(), Default()
	a.DataDir, a.Outbox.WhenFull = "/var/lib/a", Fold
	b.DataDir, b.Outbox.Mode, b.Log.Level = "/var/lib/b", OutboxMemory, LogDebug
	got := b.Keep(&a)
	if got.DataDir != a.DataDir || got.Outbox.Mode != a.Outbox.Mode || got.Outbox.WhenFull != Fold || got.Log.Level != LogDebug {
		t.Errorf("kept %+v", got)
	}
	if b.DataDir != "/var/lib/b" {
		t.Error("the configuration itself was changed")
	}
}
