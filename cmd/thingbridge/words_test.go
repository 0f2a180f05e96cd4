package main

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/config"
	"thingbridge/mapping/presets"
)

func TestOneIsSaidAsOne(t *testing.T) {
	for want, got := range map[string]string{
		" (once, 3s ago)":          howOften(1, "3s"),
		" (2 times, last 3s ago)":  howOften(2, "3s"),
		"value waits for 1 Thing,": outboxText(&outboxStatus{Records: 1, Things: 1}, time.Now()),
		"values wait for 1 Thing,": outboxText(&outboxStatus{Records: 2, Things: 1}, time.Now()),
		"values wait for 0 Things": outboxText(&outboxStatus{}, time.Now()),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEachPresetIsListedWithAWholeSentence(t *testing.T) {
	for _, name := range presets.Names() {
		text, _ := presets.Open(name)
		if got := firstSentence(string(text)); !strings.HasSuffix(got, ".") || strings.Contains(got, "#") || len(got) > 160 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAReloadThatFindsNothingLeftNamesTheOneThatTookIt(t *testing.T) {
	t.Setenv("MAIN_TEST_KEY", "a-key-of-the-test")
	file := write(t, "thingbridge.yaml", goodConfig)
	opt := config.Options{File: file}
	c, problems := config.Load(opt)
	if c == nil {
		t.Fatal(problems)
	}
	r := newReloader(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), appOptions{source: &opt})
	if out := r.read("asked"); !out.OK || out.Earlier != nil {
		t.Errorf("nothing came before: %+v", out)
	}
	if err := os.WriteFile(file, []byte(goodConfig+"log: {level: debug}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := r.read("the file changed"); !out.OK || strings.Join(out.Changed, " ") != "log.level" || out.Earlier != nil {
		t.Fatalf("the change itself: %+v", out)
	}
	for range 2 {
		out := r.read("asked")
		if !out.OK || len(out.Changed) != 0 || out.Earlier == nil {
			t.Fatalf("the same again: %+v", out)
		}
		rows := outcomeRows(&out, out.Earlier.Time.Add(2*time.Second))
		if len(rows) != 2 || rows[1][1] != "2s ago (the file changed) changed: log.level" {
			t.Errorf("it shows as %q", rows)
		}
	}
}
