package browser

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/bridge/mqttbus/broker"
	"thingbridge/edge/simulator"
)

const patience = 30 * time.Second

// rig is a real bridge, in a process of its own, between a broker and a platform.
type rig struct {
	t        *testing.T
	url      string // of the console
	broker   *broker.Broker
	platform *simulator.Platform
	devices  mqtt.Client
	log      *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newRig starts everything; console are more lines of the configuration.
func newRig(t *testing.T, console string, platform simulator.Options) *rig {
	t.Helper()
	r := &rig{t: t, log: &output{}}
	ctx, cancel := context.WithCancel(context.Background())
	var far sync.WaitGroup
	t.Cleanup(func() { cancel(); far.Wait() })
	var err error
	if r.platform, err = simulator.New(platform); err != nil {
		t.Fatal(err)
	}
	if r.broker, err = broker.New(broker.Options{}); err != nil {
		t.Fatal(err)
	}
	far.Go(func() { _ = r.platform.Run(ctx) })
	far.Go(func() { _ = r.broker.Run(ctx) })
	if err := r.broker.Start(); err != nil {
		t.Fatal(err)
	}
	r.startBridge(console)
	r.devices = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(r.broker.URL()).SetClientID("devices"))
	r.wait(r.devices.Connect())
	t.Cleanup(func() { r.devices.Disconnect(100) })
	return r
}

// startBridge writes the configuration and runs the binary until the test's end.
func (r *rig) startBridge(console string) {
	t := r.t
	dir := t.TempDir()
	address := freeAddress(t)
	text := fmt.Sprintf("platform: {url: %q, app_key: secret-of-the-platform}\nmqtt: {broker: %q, client_id: bridge-of-the-page, password: \"secret-of-mqtt\", username: u}\ndata_dir: %q\nconsole:\n  listen: %s\n%s",
		r.platform.WSURL(), r.broker.URL(), filepath.Join(dir, "data"), address, console)
	file := filepath.Join(dir, "thingbridge.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--config", file)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the bridge ends with %v", err)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("the bridge does not stop")
		}
		if t.Failed() {
			t.Logf("the bridge said:\n%s", r.log)
		}
	})
	r.url = "http://" + address
	r.until("the bridge is ready", func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *rig) wait(token mqtt.Token) {
	r.t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		r.t.Fatalf("MQTT: %v", token.Error())
	}
}

// send publishes what a device says; retained where it begins with "!".
func (r *rig) send(topic, payload string) {
	r.t.Helper()
	payload, retained := strings.CutPrefix(payload, "!")
	r.wait(r.devices.Publish(topic, 1, retained, payload))
}

// until waits for something that no browser sees.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// answers has a device answer each request of a service with a payload.
func (r *rig) answers(thing, service, payload string) {
	r.t.Helper()
	topic := fmt.Sprintf("things/%s/services/%s/request/+", thing, service)
	r.wait(r.devices.Subscribe(topic, 1, func(c mqtt.Client, m mqtt.Message) {
		c.Publish(strings.Replace(m.Topic(), "/request/", "/reply/", 1), 1, false, strings.ReplaceAll(payload, "INPUTS", string(m.Payload())))
	}))
}
