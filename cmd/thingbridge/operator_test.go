package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge/console"
	"thingbridge/config"
)

func TestTheConsoleSetsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logs := newLog(io.Discard, config.Log{Level: config.LogInfo})
		source := consoleSource{&app{log: log, logs: logs}}
		for _, c := range []struct{ wish, want string }{
			{`{"level": "debug"}`, "debug"},
			{`{"level": "warn", "for": "10m"}`, "warn for 10m0s"},
			{`{"level": "loud"}`, `level "loud"; expected debug, info, warn or error`},
			{`{"level": "debug", "for": "10"}`, `for "10"; expected a duration with its unit`},
			{`{"level": "debug", "for": "-10s"}`, "expected a duration"},
			{`{"level": "debug", "until": "10s"}`, "until"},
			{`{"level": "error", "for": "1h"}`, "error for 1h0m0s"},
			{`{}`, "info"},
		} {
			before := source.Log()
			got := ""
			if state, err := source.SetLog(json.RawMessage(c.wish)); err != nil {
				var refused console.StatusCoder
				if !errors.As(err, &refused) || refused.HTTPStatus() != http.StatusBadRequest {
					t.Errorf("%s: the error is not answered 400: %v", c.wish, err)
				}
				if source.Log() != before {
					t.Errorf("%s is refused and changed the log to %+v", c.wish, source.Log())
				}
				got = err.Error()
			} else {
				s := state.(logState)
				got = string(s.Level)
				if !s.Until.IsZero() {
					got += " for " + time.Until(s.Until).String()
				}
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s: %s, want %s", c.wish, got, c.want)
			}
		}
		if _, err := source.SetLog(json.RawMessage(`{"level": "debug", "for": "10m"}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second)
		if s := source.Log().(logState); s.Level != config.LogInfo || !s.Until.IsZero() {
			t.Errorf("after its time: %+v", s)
		}
	})
	fixed := consoleSource{&app{}}
	if _, err := fixed.SetLog(json.RawMessage(`{"level": "debug"}`)); err == nil || fixed.Log() != (logState{}) {
		t.Errorf("a log that does not change: %v", err)
	}
}

func TestTheConsoleReloads(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "")
	text := "platform: {url: ws://localhost:1/Thingworx/WS, app_key: k}\nmqtt: {broker: \"tcp://localhost:1\", client_id: app-test}\nlimits: {things: "
	file := write(t, "reload.yaml", text+"5}\n")
	log, logs := newLog(io.Discard, config.Log{})
	a, err := newApp(c, log, appOptions{logs: logs, source: &config.Options{File: file}})
	if err != nil {
		t.Fatal(err)
	}
	source := consoleSource{a}
	if s := source.Configuration().(reloadState); s.Last != nil || s.File != "test.yaml" {
		t.Errorf("before: %+v", s)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	if err := os.WriteFile(file, []byte(text+"none}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := source.Reload(t.Context())
	if o, ok := out.(reloadOutcome); err != nil || !ok || o.OK || len(o.Problems) == 0 || !strings.Contains(o.Why, "console") {
		t.Errorf("of a file with a problem: %+v, %v", out, err)
	}
	if s := source.Configuration().(reloadState); s.Last == nil || s.Last.OK {
		t.Errorf("after it: %+v", s)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := source.Reload(ctx); !errors.Is(err, errNoReload) {
		t.Errorf("after the end: %v", err)
	}
}

func TestTheConsoleIsAskedForUnderTheNamesThatTheConfigurationGives(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "")
	c.Console.Hosts = []string{"Bridge.example.com"}
	a, err := newApp(c, slog.New(slog.DiscardHandler), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"bridge.example.com": 200, "bridge.example.com:443": 200, "localhost:8480": 200, "other.example.com": 421} {
		r := httptest.NewRequest("GET", "/api/v1/config", nil)
		r.Host = host
		answer := httptest.NewRecorder()
		a.consoles.now().ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("%s: %d, want %d: %s", host, answer.Code, want, answer.Body)
		}
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}
