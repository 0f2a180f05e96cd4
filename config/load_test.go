package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the expected problems of testdata/bad")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Setenv("CONFIG_TEST_KEY", "5d1f0b5e-key")
	goleak.VerifyTestMain(m)
}

// good is the smallest configuration without a problem or a warning.
const good = `platform:
  url: wss://twx.example.com/Thingworx/WS
  app_key: ${env:CONFIG_TEST_KEY}
mqtt:
  broker: ssl://broker.example.com:8883
  client_id: plant-7
data_dir: /var/lib/thingbridge
`

func parseGood(t *testing.T, text string) *Config {
	t.Helper()
	c, problems := Parse([]byte(text), Options{File: "test.yaml"})
	for _, p := range problems {
		t.Errorf("unexpected problem: %v", p)
	}
	if c == nil {
		t.FailNow()
	}
	return c
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d bad files (%v), want at least 25", len(files), err)
	}
	for _, file := range append(files, "testdata/empty", "testdata/two-lines") {
		// What a check-out gives depends on the umask.
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			c, problems := Load(Options{File: file})
			if c != nil || !Errors(problems) {
				t.Error("the file is accepted")
			}
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(strings.ReplaceAll(p.String(), "testdata/bad/", "") + "\n")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadGivesDefaultsForEverythingThatIsNotSet(t *testing.T) {
	c := parseGood(t, good)
	want := Default()
	want.Platform.URL = "wss://twx.example.com/Thingworx/WS"
	want.MQTT.Broker = []string{"ssl://broker.example.com:8883"}
	want.MQTT.ClientID = "plant-7"
	want.DataDir = "/var/lib/thingbridge"
	for _, k := range Keys() {
		if k.Path == "platform.app_key" {
			continue
		}
		if got, want := Show(valueOf(c, k.Path)), Show(valueOf(&want, k.Path)); got != want {
			t.Errorf("%s = %q, want %q", k.Path, got, want)
		}
	}
	key, err := c.Platform.AppKey.Resolve()
	if err != nil || key != "5d1f0b5e-key" {
		t.Errorf("app_key resolves to %q, %v", key, err)
	}
}

func TestLoadTakesEveryFormOfAValue(t *testing.T) {
	dir := t.TempDir()
	user := filepath.Join(dir, "user")
	if err := os.WriteFile(user, []byte("bri${env:CONFIG_TEST_KEY}dge\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONFIG_TEST_AGE", "36h")
	c := parseGood(t, good+`outbox: {max_bytes: 64 MiB, max_age: "${env:CONFIG_TEST_AGE}", replay_rate: 0}
limits: {payload_bytes: 2048, call_timeout: 1.5s}
allow: {things: ["pump-*", "$${literal}"], services: "Reset, Start"}
deny: {things: ["a-${env:CONFIG_TEST_KEY}"]}
provision: {template: "${file:`+user+`}"}
`)
	for name, pair := range map[string][2]any{
		"size with a unit":                         {c.Outbox.MaxBytes, Size(64 << 20)},
		"duration from a reference":                {c.Outbox.MaxAge, 36 * time.Hour},
		"zero is kept":                             {c.Outbox.ReplayRate, 0},
		"size without a unit is bytes":             {c.Limits.PayloadBytes, Size(2048)},
		"fraction of a duration":                   {c.Limits.CallTimeout, 1500 * time.Millisecond},
		"literal reference":                        {c.Allow.Things, []string{"pump-*", "${literal}"}},
		"list as one text":                         {c.Allow.Services, []string{"Reset", "Start"}},
		"reference in a part of a text":            {c.Deny.Things, []string{"a-5d1f0b5e-key"}},
		"file, one newline cut, not scanned again": {c.Provision.Template, "bri${env:CONFIG_TEST_KEY}dge\n"},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheStrongerSourceWins(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse([]string{"--mqtt-client-id", "from-flag"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("THINGBRIDGE_MQTT_CLIENT_ID", "from-environment")
	t.Setenv("THINGBRIDGE_MQTT_USERNAME", "from-environment")
	t.Setenv("THINGBRIDGE_MQTT_PASSWORD", "a${b$${c")
	t.Setenv("THINGBRIDGE_MQTT_BROKER", "ssl://a:8883, ssl://b:8883")
	t.Setenv("THINGBRIDGE_MQTT_KEEP_ALIVE", "7s")
	t.Setenv("THINGBRIDGE_PLATFORM_TLS_VERIFY", "true")
	t.Setenv("THINGBRIDGE_LIMITS_CALLS", "77")
	t.Setenv("THINGBRIDGE_DATA_DIR", "")
	c, problems := Parse([]byte(good+"console: {username: x, password: '${env:CONFIG_TEST_KEY}'}\n"), Options{File: "test.yaml", Flags: fs})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	password, err := c.MQTT.Password.Resolve()
	for name, pair := range map[string][2]any{
		"flag over environment and file":        {c.MQTT.ClientID, "from-flag"},
		"environment over default":              {c.MQTT.Username, "from-environment"},
		"environment is not scanned":            {password, "a${b$${c"},
		"environment list":                      {c.MQTT.Broker, []string{"ssl://a:8883", "ssl://b:8883"}},
		"environment duration":                  {c.MQTT.KeepAlive, 7 * time.Second},
		"environment number":                    {c.Limits.Calls, 77},
		"empty environment is none":             {c.DataDir, "/var/lib/thingbridge"},
		"file over default":                     {c.Console.Username, "x"},
		"a flag that is not given does not win": {c.Platform.URL, "wss://twx.example.com/Thingworx/WS"},
		"no error":                              {err, error(nil)},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestProblemsOfTheEnvironmentNameTheVariable(t *testing.T) {
	t.Setenv("THINGBRIDGE_MQTT_KEEP_ALIVE", "30")
	t.Setenv("THINGBRIDGE_LOG_LEVEL", "loud")
	t.Setenv("THINGBRIDGE_PLATFORM_APPKEY", "x")
	t.Setenv("THINGBRIDGE_SERVICE_HOST", "10.0.0.1")
	t.Setenv("THINGBRIDGE_CONFIG", "x.yaml")
	_, problems := Parse([]byte(good), Options{File: "test.yaml"})
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`THINGBRIDGE_MQTT_KEEP_ALIVE: mqtt.keep_alive: duration "30" has no unit; expected a duration with its unit, for example "30s"`,
		`THINGBRIDGE_PLATFORM_APPKEY: warning: the environment variable sets no key, did you mean THINGBRIDGE_PLATFORM_APP_KEY?`,
		`THINGBRIDGE_LOG_LEVEL: log.level: "loud" is not known here; expected one of "debug", "info", "warn", "error"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestWarningsDoNotRefuse(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"a literal secret":          {"${env:CONFIG_TEST_KEY}", "literal", "platform.app_key: warning: stands in the file itself"},
		"a file that others change": {"${env:CONFIG_TEST_KEY}", "${file:" + secret + "}", "can be changed by others than its owner (mode 0666)"},
		"memory only":               {"data_dir: /var/lib/thingbridge", "", "data_dir: warning: is not set: nothing outlives the bridge"},
		"memory mode":               {"data_dir: /var", "outbox: {mode: memory}\ndata_dir: /var", `outbox.mode: warning: is "memory"`},
		"no encryption":             {"wss://", "ws://", "platform.url: warning: is not encrypted"},
		"no verification":           {"  client_id", "  tls: {verify: false}\n  client_id", "mqtt.tls.verify: warning: is false"},
		"a name listed twice":       {"data_dir", "deny: {things: [a, a]}\ndata_dir", `deny.things[1]: warning: "a" is listed twice`},
		"password in clear":         {"ssl://broker.example.com:8883", "tcp://b:1883\n  username: u\n  password: ${env:CONFIG_TEST_KEY}", "mqtt.broker: warning: is not encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := Parse([]byte(strings.Replace(good, test.old, test.new, 1)), Options{File: "test.yaml"})
			if c == nil || len(problems) != 1 || !problems[0].Warning || !strings.Contains(problems[0].String(), test.want) {
				t.Errorf("config %v, problems %v; want one warning with %q", c != nil, problems, test.want)
			}
		})
	}
}

func TestNoTwoKeysShareAnEnvironmentVariable(t *testing.T) {
	seen := map[string]string{}
	for _, k := range Keys() {
		if other, ok := seen[envName(k.Path)]; ok {
			t.Errorf("%s and %s are both %s", other, k.Path, envName(k.Path))
		}
		seen[envName(k.Path)] = k.Path
	}
	for _, f := range flagged {
		if _, ok := seen[envName(f.path)]; !ok {
			t.Errorf("flag of %s, which is no key", f.path)
		}
	}
}

func TestLoadNamesAFileThatIsNotThere(t *testing.T) {
	_, problems := Load(Options{File: "testdata/none.yaml"})
	if len(problems) != 1 || problems[0].String() != "testdata/none.yaml: no such file or directory; expected a readable YAML file" {
		t.Errorf("problems %v", problems)
	}
}
