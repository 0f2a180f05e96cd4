package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// bridge is the program itself, in a process that can be killed and started again.
type bridge struct {
	t       testing.TB
	config  string
	console string
	p       *process
}

const bridgeConfig = `platform:
  url: %s
  app_key: ` + appKey + `
mqtt:
  broker: %s
  client_id: %s%s
data_dir: %s
console: {listen: %q}
%s`

// newBridge starts a bridge with its own data directory; more is YAML for the end of its configuration.
func newBridge(t testing.TB, b *broker, webSocket, more string) *bridge {
	t.Helper()
	return newBridgeIn(t, t.TempDir(), b, webSocket, more)
}

func newBridgeIn(t testing.TB, dir string, b *broker, webSocket, more string) *bridge {
	t.Helper()
	br := &bridge{t: t, config: filepath.Join(dir, "thingbridge.yaml"), console: freeAddress(t)}
	login := ""
	if b.user != "" {
		login = "\n  username: " + b.user + "\n  password: x"
	}
	text := fmt.Sprintf(bridgeConfig, webSocket, b.url(), "bridge-"+filepath.Base(dir)+fmt.Sprint(time.Now().UnixNano()), login,
		filepath.Join(dir, "data"), br.console, more)
	if err := os.WriteFile(br.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	br.start()
	return br
}

func (b *bridge) start() {
	b.t.Helper()
	b.p = start(b.t, "thingbridge run", binary, "run", "--config", b.config)
}

// waitReady waits until /readyz says yes.
func (b *bridge) waitReady() time.Duration {
	b.t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return eventually(b.t, "the bridge is ready", func() string {
		if b.p.ended() {
			b.t.Fatalf("the bridge ended: %v\n%s", b.p.err, b.p.tail())
		}
		resp, err := client.Get("http://" + b.console + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
}
