package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every secret of the configuration holds this mark, and nothing else does.
const secretMark = "xq7SECRETxq7"

const secretConfig = `platform:
  url: %s
  app_key: ${file:%s}
  proxy: ""
mqtt:
  broker: %s
  client_id: secretive
  username: bridge
  password: ${env:SECRET_PASSWORD}
data_dir: %s
console: {listen: %q, token: %s, username: operator, password: %s, allow_calls: true}
rest: {listen: "127.0.0.1:0", token: %[6]s-rest, username: app, password: %[7]s-rest}
log: {level: debug}
`

// TestSecretsAreNowhere runs the program with marked secrets, also where the
// platform refuses the key, and looks for the mark in everything it puts out.
func TestSecretsAreNowhere(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	d := newDevice(t, b, "device")
	d.announce("quiet-1", `{"services": {"Reset": {}}}`)
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "app_key")
	if err := os.WriteFile(keyFile, []byte(secretMark+"-key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	br := &bridge{t: t, config: filepath.Join(dir, "thingbridge.yaml"), console: freeAddress(t)}
	token := secretMark + "-token"
	text := fmt.Sprintf(secretConfig, s.webSocket(s.address), keyFile, b.url(), filepath.Join(dir, "data"), br.console, token, secretMark+"-password")
	if err := os.WriteFile(br.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_PASSWORD", secretMark+"-mqtt")
	clean := func(where, text string) {
		t.Helper()
		if i := strings.Index(text, secretMark); i >= 0 {
			t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-100):min(len(text), i+60)])
		}
	}

	_, check := runOnce(t, "check", "--config", br.config)
	clean("check", check)
	if !strings.Contains(check, "every user of this machine") || !strings.Contains(check, keyFile) {
		t.Errorf("check does not warn of the key file that everybody can read:\n%s", check)
	}
	_, printed := runOnce(t, "config", "print", "--config", br.config)
	clean("config print", printed)
	if strings.Count(printed, "<secret>") < 2 || !strings.Contains(printed, "operator") {
		t.Errorf("config print does not show the configuration with its secrets masked:\n%s", printed)
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte(strings.ReplaceAll(text, "log:", "console: [")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "run"} {
		_, out := runOnce(t, command, "--config", broken)
		clean(command+" of a configuration that is no YAML", out)
	}

	br.start()
	get := func(path, auth string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+br.console+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", auth)
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body) + fmt.Sprint(resp.Header)
	}
	var ready string
	eventually(t, "the platform has refused the key", func() string {
		var code int
		if code, ready = get("/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(ready, "authenticat") {
			return ready
		}
		return ""
	})
	clean("/readyz", ready)
	paths := []string{"/", "/metrics", "/api/v1/status", "/api/v1/config", "/api/v1/things", "/api/v1/things/quiet-1", "/api/v1/calls", "/healthz", "/readyz", "/debug/pprof/cmdline", "/nothing"}
	for _, path := range paths {
		for _, auth := range []string{"", "Bearer wrong", "Bearer " + token} {
			_, body := get(path, auth)
			clean(path, body)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/metrics": 401, "/api/v1/status": 401, "/api/v1/things": 401} {
		if code, body := get(path, "Bearer wrong"); code != want {
			t.Errorf("%s without the token: %d %s, want %d", path, code, body, want)
		}
	}
	if code, body := get("/api/v1/status", "Bearer "+token); code != http.StatusOK {
		t.Errorf("with the token: %d %s", code, body)
	}
	// Once the key is right the bridge goes on; what it then says is clean too.
	if err := os.WriteFile(keyFile, []byte(appKey), 0o600); err != nil {
		t.Fatal(err)
	}
	br.p.stop(t)
	clean("the log of a refused key", br.p.output())
	if !strings.Contains(br.p.output(), "level=DEBUG") && !strings.Contains(br.p.output(), `"DEBUG"`) {
		t.Error("the log has no line of level debug, so it was not tried")
	}
	br.start()
	br.waitReady()
	s.waitThing("quiet-1", true)
	if out := br.p.output(); strings.Contains(out, appKey) {
		t.Errorf("the log shows the application key:\n%s", out)
	}
	for _, path := range paths {
		if _, body := get(path, "Bearer "+token); strings.Contains(body, appKey) {
			t.Errorf("%s shows the application key", path)
		}
	}
	br.p.stop(t)
	clean("the log", br.p.output())
	err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		clean("the data directory: "+path, string(content))
		if info, statErr := entry.Info(); statErr == nil && info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s can be read by others (%v)", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheConsoleIsNotOpened starts the program with consoles that would be open
// to the network.
func TestTheConsoleIsNotOpened(t *testing.T) {
	for name, listen := range map[string]string{"on every address": ":0", "on all of IPv4": "0.0.0.0:0", "on all of IPv6": "[::]:0", "on a name": "example.com:8480"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "thingbridge.yaml")
			text := fmt.Sprintf("platform: {url: ws://127.0.0.1:1/Thingworx/WS, app_key: k}\nmqtt: {broker: tcp://127.0.0.1:1, client_id: c}\nconsole: {listen: %q}\n", listen)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, out := runOnce(t, "run", "--config", file); code == 0 || !strings.Contains(out, "nobody has to log in") {
				t.Errorf("it ends with %d:\n%s", code, out)
			}
		})
	}
}
