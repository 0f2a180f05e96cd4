package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/mqttbus/broker"
	"thingbridge/bridge/store"
	"thingbridge/config"
	"thingbridge/edge/simulator"
)

// world is a broker, a platform and two devices in this process.
type world struct {
	broker   *broker.Broker
	platform *simulator.Platform
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	p, err := simulator.New(simulator.Options{AppKey: "the-key"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := devicesim.New(devicesim.Options{Access: devicesim.Access{Broker: b.URL()}, Count: 2, Interval: 50 * time.Millisecond, OneConnectionPerDevice: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	platformDone, devicesDone := make(chan error, 1), make(chan error, 1)
	go func() { platformDone <- p.Run(ctx) }()
	go func() { devicesDone <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-platformDone, <-devicesDone); err != nil {
			t.Error(err)
		}
	})
	return &world{b, p}
}

func (w *world) config(t *testing.T, more string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("the-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("platform: {url: %q, app_key: \"${file:%s}\", gateway: {name: plant-7}}\nmqtt: {broker: %q, client_id: app-test}\ndata_dir: %s\nconsole: {listen: 127.0.0.1:0}\n%s",
		w.platform.WSURL(), key, w.broker.URL(), filepath.Join(dir, "data"), more)
	c, problems := config.Parse([]byte(text), config.Options{File: "test.yaml"})
	if c == nil || len(problems) > 0 {
		t.Fatalf("problems %v", problems)
	}
	return c
}

func (w *world) connected() map[string]bool {
	out := map[string]bool{}
	for _, t := range w.platform.Things() {
		out[t.Name] = t.Connected
	}
	return out
}

// until asks again and again, for at most 20 seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestTheAppBindsAndLeavesInOrder(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "")
	a, err := newApp(c, slog.New(slog.DiscardHandler), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + a.consoles.now().Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()

	until(t, "pump-1, pump-2 and the bridge's own Thing are bound", func() bool {
		got := w.connected()
		return got["pump-1"] && got["pump-2"] && got["plant-7"]
	})
	until(t, "a value has arrived", func() bool { _, ok := w.platform.Value("pump-1", "temp"); return ok })
	for path, want := range map[string]string{
		"/healthz": "alive", "/readyz": `"ready":true`, "/metrics": "go_goroutines",
		"/api/v1/status": `"clientId":"app-test"`, "/api/v1/things?prefix=PUMP-": `"total":2`,
		"/api/v1/things/pump-1": `"propertyDefinitions"`,
	} {
		if status, body := get(t, base+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d, no %s in %.300s", path, status, want, body)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	for name, connected := range w.connected() {
		if connected {
			t.Errorf("%s is still bound", name)
		}
	}
	s, err := store.Open(c.DataDir, store.Options{})
	if err != nil {
		t.Fatalf("the data directory is not free: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStartFailuresSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := w.config(t, "")
	lock, err := store.Open(inUse.DataDir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	port := w.config(t, "")
	port.Console.Listen = taken.Addr().String()
	notADir := w.config(t, "")
	notADir.DataDir = filepath.Join(write(t, "file", ""), "data")
	damaged := w.config(t, "")
	if err := os.Mkdir(damaged.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged.DataDir, "outbox.db"), []byte(strings.Repeat("x", 40_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config *config.Config
		want   string
	}{
		"the outbox is damaged":               {damaged, "outbox.db is damaged"},
		"the data directory is in use":        {inUse, "in use by process"},
		"the console's port is taken":         {port, "another program listens there"},
		"the data directory cannot be opened": {notADir, "must name a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newApp(test.config, slog.New(slog.DiscardHandler), appOptions{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
	s, err := store.Open(port.DataDir, store.Options{})
	if err != nil {
		t.Fatalf("a start that failed keeps the data directory: %v", err)
	}
	s.Close()
}

func TestAWrongKeyIsToldAndNotShown(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := config.NewSecret("${file:" + key + "}")
	if err != nil {
		t.Fatal(err)
	}
	c.Platform.AppKey = secret
	log := newOutput()
	a, err := newApp(c, slog.New(slog.NewTextHandler(log, nil)), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	log.wait(t.Context(), t, "platform not reached")
	if strings.Contains(log.String(), "wrong") {
		t.Errorf("the key is in the log:\n%s", log)
	}
	if status, body := get(t, "http://"+a.consoles.now().Addr().String()+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "platform") {
		t.Errorf("/readyz: %d %s", status, body)
	}
}

func TestWithinGivesUpAfterItsLimit(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	release := make(chan struct{})
	defer close(release)
	err := within(ctx, time.Millisecond, func(context.Context) error { <-release; return nil })
	if err == nil || !strings.Contains(err.Error(), "longer than 1ms") {
		t.Errorf("error %v", err)
	}
}
