package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const secretText = "s3cr3t-t0ken"

func TestNothingPrintsASecret(t *testing.T) {
	s := LiteralSecret(secretText)
	type hidden struct{ inside Secret }
	holders := map[string]any{
		"itself":                  s,
		"a pointer":               &s,
		"a field":                 struct{ Token Secret }{s},
		"an unexported field":     hidden{s},
		"a pointer to such":       &hidden{s},
		"a list":                  []Secret{s},
		"a map":                   map[string]Secret{"token": s},
		"an interface":            []any{s},
		"a whole configuration":   &Config{Platform: Platform{AppKey: s}, MQTT: MQTT{Password: s, TLS: TLS{Key: Material{LiteralSecret(pemStart + secretText)}}}},
		"an error that wraps one": fmt.Errorf("log in with %v: refused", s),
	}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%g", "%t", "%p", "%T", "%10s", "%-10v", "%+q", "% x", "%w"}
	for name, holder := range holders {
		t.Run(name, func(t *testing.T) {
			outputs := map[string]string{}
			for _, verb := range verbs {
				outputs[verb] = fmt.Sprintf(verb, holder)
			}
			outputs["Sprint"] = fmt.Sprint(holder)
			j, _ := json.Marshal(holder)
			outputs["JSON"] = string(j)
			x, _ := xml.Marshal(holder)
			outputs["XML"] = string(x)
			y, _ := yaml.Marshal(holder)
			outputs["YAML"] = string(y)
			for _, handler := range []func(*bytes.Buffer) slog.Handler{
				func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
				func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			} {
				var b bytes.Buffer
				slog.New(handler(&b)).Info("message", "secret", holder)
				outputs[fmt.Sprintf("slog %T", handler(&b))] = b.String()
			}
			for how, out := range outputs {
				hex := fmt.Sprintf("%x", secretText)
				if strings.Contains(out, secretText) || strings.Contains(strings.ToLower(strings.ReplaceAll(out, " ", "")), hex) {
					t.Errorf("%s gives %s", how, out)
				}
			}
		})
	}
}

func TestASecretPrintsItsMask(t *testing.T) {
	s := LiteralSecret(secretText)
	for _, out := range []string{s.String(), s.GoString(), fmt.Sprintf("%d", s), fmt.Sprintf("%#v", s), s.LogValue().String()} {
		if out != "<secret>" {
			t.Errorf("printed %q", out)
		}
	}
	if out := fmt.Sprint(Secret{}); out != "" {
		t.Errorf("a secret that is not set prints %q", out)
	}
}

func TestASecretIsReadAgainAtEachResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	s, err := NewSecret("x-${file:" + file + "}-${env:CONFIG_TEST_PART}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	for _, content := range []string{"one\n", "two", "three\r\n", "four\n\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CONFIG_TEST_PART", "${file:/etc/hostname}")
		want := "x-" + map[string]string{"one\n": "one", "two": "two", "three\r\n": "three", "four\n\n": "four\n"}[content] + "-${file:/etc/hostname}"
		if got, err := s.Resolve(); err != nil || got != want {
			t.Errorf("content %q resolves to %q, %v; want %q", content, got, err, want)
		}
	}
}

func TestASecretSaysWhyItCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxReferenceFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		"${env:CONFIG_TEST_NOT_SET}": errUnset,
		"${file:" + dir + "}":        errNotFile,
		"${file:/dev/zero}":          errNotFile,
		"${file:" + large + "}":      errLargeFile,
		"${file:" + empty + "}":      ErrEmptySecret,
	} {
		s, err := NewSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Resolve(); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s gives %v, want %v with the reference's name", text, err, want)
		}
	}
}

func TestAnErrorOfASecretDoesNotHoldItsLiteralPart(t *testing.T) {
	s, err := NewSecret(secretText + "${env:CONFIG_TEST_NOT_SET}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(); err == nil || strings.Contains(err.Error(), secretText) {
		t.Errorf("error %v", err)
	}
	if _, err := NewSecret(secretText + "${oops}"); err == nil || strings.Contains(err.Error(), secretText) {
		t.Errorf("error %v", err)
	}
}
