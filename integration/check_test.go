package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckNamesWhatIsWrong runs check on broken configurations. Each says the
// line that is wrong, the key, and words of what was wrong or would be right.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	const good = `platform:
  url: wss://twx.example.com/Thingworx/WS
  app_key: ${env:TWX_KEY_FOR_CHECK}
mqtt:
  broker: ssl://broker.example.com:8883
  client_id: check-1
data_dir: /var/lib/thingbridge
`
	t.Setenv("TWX_KEY_FOR_CHECK", "secret-value-1234")
	cases := map[string]struct {
		old, new string // in good
		line     int
		want     []string
	}{
		"an unknown key":                      {"  client_id: check-1", "  client_idd: check-1", 6, []string{"mqtt.client_idd"}},
		"an unknown section":                  {"data_dir:", "datadir:", 7, []string{"datadir"}},
		"a wrong scheme":                      {"wss://twx", "https://twx", 2, []string{"platform.url", "wss"}},
		"a broker with an unknown scheme":     {"ssl://broker", "mqtts5://broker", 5, []string{"mqtt.broker", "ssl"}},
		"a variable that is not set":          {"TWX_KEY_FOR_CHECK", "TWX_KEY_NOT_SET", 3, []string{"platform.app_key", "TWX_KEY_NOT_SET"}},
		"a secret's file that is not there":   {"${env:TWX_KEY_FOR_CHECK}", "${file:/nonexistent/key}", 3, []string{"platform.app_key", "/nonexistent/key"}},
		"a duration without a unit":           {"data_dir: /var/lib/thingbridge", "outbox: {max_age: 60}", 7, []string{"outbox.max_age", "unit"}},
		"a policy that does not exist":        {"data_dir: /var/lib/thingbridge", "outbox: {when_full: newest}", 7, []string{"outbox.when_full", "drop-oldest"}},
		"a number where a list of rules goes": {"data_dir: /var/lib/thingbridge", "profiles: 5", 7, []string{"profiles"}},
		"a preset that does not exist":        {"data_dir: /var/lib/thingbridge", "profiles: [{preset: nativ}]", 7, []string{"nativ"}},
		"an expression that does not compile": {"data_dir: /var/lib/thingbridge",
			"profiles:\n  - name: x\n    thing: x-${id}\n    announce: {topic: \"x/{id}\", when: \"payload.a ==\"}", 10, []string{"when"}},
		"a section that stands twice": {"data_dir: /var/lib/thingbridge", "mqtt: {keep_alive: 30s}", 7, []string{"mqtt"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			file := writeConfig(t, text)
			code, out := runOnce(t, "check", "--config", file)
			if code != 1 {
				t.Errorf("exit code %d; want 1", code)
			}
			if !strings.Contains(out, fmt.Sprintf("%s:%d:", file, c.line)) {
				t.Errorf("it does not name %s:%d", filepath.Base(file), c.line)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("it does not say %q", w)
				}
			}
			if strings.Contains(out, "secret-value-1234") {
				t.Error("it shows the secret")
			}
			t.Logf("%s", strings.ReplaceAll(out, filepath.Dir(file)+"/", ""))
		})
	}
	t.Run("all problems are told at once", func(t *testing.T) {
		text := strings.NewReplacer("client_id:", "client_idd:", "datadir", "x", "wss://twx", "https://twx").Replace(good)
		file := writeConfig(t, text)
		code, out := runOnce(t, "check", "--config", file)
		if code != 1 || !strings.Contains(out, file+":2:") || !strings.Contains(out, file+":6:") {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	})
	t.Run("a good configuration is fine", func(t *testing.T) {
		if code, out := runOnce(t, "check", "--config", writeConfig(t, good)); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	})
	t.Run("a wrong use ends with 2", func(t *testing.T) {
		if code, out := runOnce(t, "check", "--no-such-flag"); code != 2 {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
	})
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "thingbridge.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
