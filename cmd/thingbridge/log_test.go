package main

import (
	"strings"
	"testing"
	"time"

	"thingbridge/config"
)

func TestTheLogHasTheFormAndLevelAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		log    config.Log
		want   string
		absent string
	}{
		"JSON where it is no terminal":    {config.Log{Level: config.LogInfo, Format: config.LogAuto}, `"msg":"hello","after":"1.5s"`, "quiet"},
		"JSON where it is asked for":      {config.Log{Level: config.LogInfo, Format: config.LogJSON}, `"level":"INFO"`, "quiet"},
		"text where it is asked for":      {config.Log{Level: config.LogInfo, Format: config.LogText}, "msg=hello after=1.5s", "quiet"},
		"debug shows more":                {config.Log{Level: config.LogDebug, Format: config.LogText}, "msg=quiet", "{"},
		"errors only leave the rest away": {config.Log{Level: config.LogError, Format: config.LogText}, "", "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			out := newOutput()
			log := newLogger(out, test.log)
			log.Debug("quiet")
			log.Info("hello", "after", 1500*time.Millisecond)
			if got := out.String(); !strings.Contains(got, test.want) || strings.Contains(got, test.absent) {
				t.Errorf("log is %q", got)
			}
		})
	}
}

func TestTheLogChangesWhileItIsInUse(t *testing.T) {
	out := newOutput()
	log, control := newLog(out, config.Log{Level: config.LogInfo, Format: config.LogJSON})
	part := log.With("part", "x")
	steps := []struct {
		name, want string
		do         func()
		shown      bool // debug is
	}{
		{"at first", "", func() {}, false},
		{"set by hand", `"msg":"set by hand","part":"x"`, func() { control.set(config.LogDebug, 0) }, true},
		{"another form", `msg="another form" part=x`, func() { control.configure(config.Log{Level: config.LogInfo, Format: config.LogText}) }, true},
		{"back", "", func() { control.set("", 0) }, false},
		{"another level configured", "msg=\"another level configured\"", func() { control.configure(config.Log{Level: config.LogDebug, Format: config.LogText}) }, true},
	}
	for _, step := range steps {
		step.do()
		part.Debug(step.name)
		if got := strings.Contains(out.String(), step.name); got != step.shown || !strings.Contains(out.String(), step.want) {
			t.Errorf("%s: the log is %q", step.name, out.String())
		}
	}
}
