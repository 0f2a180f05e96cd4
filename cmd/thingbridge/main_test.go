package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is a writer that can be read while it is written to.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and renewed by each write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until the output holds a text.
func (o *output) wait(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	for {
		o.mu.Lock()
		more, there := o.more, strings.Contains(o.text.String(), text)
		o.mu.Unlock()
		if there {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%q does not come; there is\n%s", text, o)
		}
	}
}

const goodConfig = `platform: {url: "ws://127.0.0.1:1/Thingworx/WS", app_key: "${env:MAIN_TEST_KEY}"}
mqtt: {broker: "tcp://127.0.0.1:1", client_id: main-test}
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandsGiveTheirExitStatus(t *testing.T) {
	t.Setenv("MAIN_TEST_KEY", "a-key-of-the-test")
	cases, err := filepath.Abs("testdata/cases")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	wrong := write(t, "wrong.txtar", "-- message things/p/announce --\n{}\n-- want --\nnothing\n")
	good := write(t, "good.yaml", goodConfig)
	secretless := write(t, "secretless.yaml", "platform: {app_key: \"${file:/no/such/key}\"}\n")
	odd := write(t, "odd.yaml", "profiles: [{preset: odd}]\n")
	empty := write(t, "empty.yaml", "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	bad := write(t, "bad.yaml", goodConfig+"mqtt: {}\nlimits: {things: many}\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		out    string // in either output
		absent string
	}{
		"version":                            {[]string{"version"}, 0, "thingbridge unknown", ""},
		"help":                               {[]string{"--help"}, 0, "simulate", ""},
		"no command shows the commands":      {nil, 0, "Available Commands", ""},
		"a command that is not there":        {[]string{"rnu"}, 2, `unknown command "rnu"`, ""},
		"a flag that is not there":           {[]string{"check", "--fast"}, 2, "unknown flag: --fast", ""},
		"an argument too many":               {[]string{"check", "x"}, 2, `"x" is too much: the command takes no argument; a configuration file is named with --config FILE`, "unknown command"},
		"an argument too few":                {[]string{"call", "pump-1"}, 2, "called with 1 argument; expected THING SERVICE [name=value…]", "arg(s)"},
		"half a command":                     {[]string{"simulate"}, 2, "platform, devices or agent", ""},
		"half another":                       {[]string{"config"}, 2, "print", ""},
		"check of a good file":               {[]string{"check", "--config", good}, 0, "is fine, 1 warning", ""},
		"check of a bad file":                {[]string{"check", "--config", bad}, 1, "bad.yaml:4:18: limits.things: ", ""},
		"check says how many":                {[]string{"check", "--config", bad}, 1, "bad.yaml: 2 problems, 1 warning", ""},
		"check of a file that is not there":  {[]string{"check", "--config", "none.yaml"}, 1, "no such file", ""},
		"check without a file":               {[]string{"check"}, 1, "platform.url: is not set", ""},
		"run without a file":                 {[]string{"run"}, 1, "there is no configuration file", ""},
		"run of a bad file":                  {[]string{"run", "--config", bad}, 1, "limits.things", ""},
		"config print without a file":        {[]string{"config", "print"}, 0, "# The connection to the MQTT broker.", ""},
		"config print into an empty file":    {[]string{"config", "print", "--config", empty}, 0, "# The connection to the MQTT broker.", "is not set"},
		"config print masks":                 {[]string{"config", "print", "--config", good}, 0, "app_key: <secret>", "a-key-of-the-test"},
		"config print with a flag":           {[]string{"config", "print", "--config", good, "--mqtt-client-id", "other"}, 0, "client_id: other", "main-test"},
		"config print into a new file":       {[]string{"config", "print", "--output", filepath.Join(t.TempDir(), "new.yaml")}, 0, "", "client_id"},
		"config print never overwrites":      {[]string{"config", "print", "--output", good}, 1, "good.yaml is there already and stays as it is", ""},
		"config print of a bad file":         {[]string{"config", "print", "--config", bad}, 0, "limits.things", ""},
		"presets":                            {[]string{"presets"}, 0, "native", ""},
		"one preset":                         {[]string{"presets", "native"}, 0, "things/{thing}/announce", ""},
		"a preset that is not there":         {[]string{"presets", "../x"}, 1, "there are ", ""},
		"explain an announcement":            {[]string{"explain", "things/p/announce", `{"services": {"Go": {}}}`}, 0, "→   service Go() NOTHING", ""},
		"explain after an announcement":      {[]string{"explain", "--announce", "things/p/announce {}", "things/p/properties/t", "1"}, 0, "→ value p.t = NUMBER 1", ""},
		"explain without its announcement":   {[]string{"explain", "things/p/properties/t", "1"}, 1, "--announce 'TOPIC PAYLOAD'", ""},
		"explain a payload that is none":     {[]string{"explain", "things/p/announce", "{"}, 1, "rejected (malformed)", ""},
		"explain a topic nobody hears":       {[]string{"explain", "a/b"}, 1, "things/+/announce", ""},
		"explain a topic of a device's own":  {[]string{"explain", "a/b"}, 1, "give its announcement too, --announce 'TOPIC PAYLOAD'", ""},
		"explain what is no topic":           {[]string{"explain", "a/+"}, 1, "not a topic", ""},
		"explain nothing":                    {[]string{"explain"}, 2, "called with 0 arguments; expected TOPIC [PAYLOAD|-]", "arg(s)"},
		"explain where a secret is absent":   {[]string{"explain", "--config", secretless, "things/p/announce", "{}"}, 0, "announced p", "no such file"},
		"explain where a profile is wrong":   {[]string{"explain", "--config", odd, "things/p/announce", "{}"}, 1, "odd.yaml:1:21: profiles[0].preset: there is no preset", "announced"},
		"cases":                              {[]string{"test", cases}, 0, "ok    ", "FAIL"},
		"a case that fails":                  {[]string{"test", filepath.Dir(wrong)}, 1, "- nothing\n  + announced p by", ""},
		"no cases":                           {[]string{"test", t.TempDir()}, 1, "there is no case", ""},
		"devices of an unknown family":       {[]string{"simulate", "devices", "--family", "x"}, 1, `family "x" is not known`, ""},
		"no devices":                         {[]string{"simulate", "devices", "--count", "-1"}, 1, "negative", ""},
		"a platform with an odd flag":        {[]string{"simulate", "platform", "--sync", "odd"}, 2, "--sync odd is not known; expected old, new or both", ""},
		"a platform that refuses oddly":      {[]string{"simulate", "platform", "--bind-refusal", "odd"}, 2, "--bind-refusal odd is not known; expected whole or partial", ""},
		"a platform with half a certificate": {[]string{"simulate", "platform", "--tls-key", "k.pem"}, 2, "--tls-cert and --tls-key: one without the other", ""},
		"a platform of negative patience":    {[]string{"simulate", "platform", "--idle-timeout", "-1s"}, 2, "a negative duration", ""},
		"devices of a broker that is none":   {[]string{"simulate", "devices", "--broker", "http://127.0.0.1:1"}, 1, `broker "http://127.0.0.1:1"; expected a URL such as tcp://host:1883`, ""},
		"a platform on an odd address":       {[]string{"simulate", "platform", "--listen", "x:y:z"}, 1, "x:y:z", ""},
		"a platform on an address in use":    {[]string{"simulate", "platform", "--listen", taken}, 1, "choose another address with --listen", ""},
		"check of a file as data directory":  {[]string{"check", "--config", good, "--data-dir", good}, 1, "data_dir: is a file", ""},
		"a platform that is auto and strict": {[]string{"simulate", "platform", "--auto", "--strict"}, 2, "exclude each other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := newOutput()
			if status := execute(t.Context(), test.args, out, out); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("output has no %q:\n%s", test.out, out)
			}
			if test.absent != "" && strings.Contains(out.String(), test.absent) {
				t.Errorf("output has %q:\n%s", test.absent, out)
			}
		})
	}
}

func TestTheConfigurationIsFoundWhereItShouldBe(t *testing.T) {
	t.Setenv("MAIN_TEST_KEY", "a-key-of-the-test")
	t.Chdir(t.TempDir())
	named := write(t, "named.yaml", strings.Replace(goodConfig, "main-test", "named", 1))
	inEnvironment := write(t, "environment.yaml", strings.Replace(goodConfig, "main-test", "environment", 1))
	if err := os.WriteFile("thingbridge.yaml", []byte(strings.Replace(goodConfig, "main-test", "here", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	print := func(args ...string) string {
		out := newOutput()
		if status := execute(t.Context(), append([]string{"config", "print"}, args...), out, newOutput()); status != 0 {
			t.Fatalf("status %d:\n%s", status, out)
		}
		return out.String()
	}
	if out := print(); !strings.Contains(out, "client_id: here") {
		t.Errorf("not the file in the directory:\n%s", out)
	}
	t.Setenv("THINGBRIDGE_CONFIG", inEnvironment)
	if out := print(); !strings.Contains(out, "client_id: environment") {
		t.Errorf("not the file that the environment names:\n%s", out)
	}
	if out := print("--config", named); !strings.Contains(out, "client_id: named") {
		t.Errorf("not the file that the flag names:\n%s", out)
	}
}
