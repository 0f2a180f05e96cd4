package bridge_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/mapping"
)

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(words ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.buf.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

func TestALimitIsLoggedOncePerEpisode(t *testing.T) {
	var log lines
	options := func(o *bridge.Options) {
		o.Engine = engineWith(t, mapping.Limits{PayloadBytes: 200, ValuesPerMessage: 3, DefinitionsPerThing: 5})
		o.Limits = bridge.Limits{Things: 3, AnnouncementsPerSecond: 2, CallsPerThing: 1, WaitingPerThing: 4}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	bubble(t, nil, func(r *rig) {
		many := func(n int, topic, payload string) {
			for i := range n {
				number := strings.NewReplacer("%", fmt.Sprint(i))
				r.live(number.Replace(topic), number.Replace(payload))
			}
		}
		r.live("things/pump-1/announce", "{}")
		many(50, "things/pump-1/properties", `{"a":1,"b":2,"c":3,"d":4}`)
		many(50, "things/pump-1/properties", `{"a":"`+strings.Repeat("x", 300)+`"}`)
		many(50, "things/pump-1/announce", `{"description":"%","properties":{"a":{},"b":{},"c":{},"d":{},"e":{},"f":{}}}`)
		many(50, "things/more-%/announce", `{}`)
		many(50, "things/stranger/properties", `{"a":1}`)
		time.Sleep(time.Minute)
		many(50, "things/third-%/announce", `{}`)
		for range 5 {
			r.service("pump-1", "Never")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, episode := range [][]string{
			{"messages refused", "too_large", "values"},
			{"messages refused", "too_large", "payload"},
			{"messages refused", "definitions"},
			{"announcement refused", "limits.things"},
			{"announcements wait", "limits.announcements_per_second"},
			{"calls refused", "limits.calls_per_thing"},
			{"messages of Things not announced are dropped", "stranger"},
		} {
			if n := log.count(episode...) - log.count(append(episode, "(over)")...); n < 1 || n > 2 {
				t.Errorf("%q: %d lines", episode, n)
			}
			if n := log.count(append(episode, "(over)", "count=")...); n < 1 {
				t.Errorf("%q: no line for its end", episode)
			}
		}
		if t.Failed() {
			t.Log(log.buf.String())
		}
	}, options)
}

func engineWith(t *testing.T, limits mapping.Limits) *mapping.Engine {
	t.Helper()
	profiles, problems := mapping.Load(nil, "test.yaml", nil)
	if profiles == nil {
		t.Fatal(problems)
	}
	return mapping.NewEngine(profiles, mapping.Options{Limits: limits})
}

func TestAnAnnouncementThatCannotBeUsedIsLoggedWithItsTopic(t *testing.T) {
	var log lines
	options := func(o *bridge.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	bubble(t, nil, func(r *rig) {
		r.live("things/pump-1/announce", "no JSON")
		if n := log.count("messages refused", "things/pump-1/announce", "malformed", "not JSON"); n != 1 {
			t.Errorf("%d lines name the topic: %s", n, log.buf.String())
		}
		problems := r.b.Status().Problems
		if len(problems) != 1 || !strings.Contains(problems[0].Text, "on things/pump-1/announce: payload: not JSON") {
			t.Errorf("problems %v", problems)
		}
	}, options)
}

func TestWhatAnAnnouncementHasWrongShowsWithTheThingThatItMakes(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.live("things/pump-1/announce", `{"properties": {"a": "NUMBER", "b": "NUMBR"}}`)
		pump, ok := r.b.Thing("pump-1")
		if !ok || len(pump.Recent) != 1 || !strings.Contains(pump.Recent[0].Text, `"NUMBR" is no base type`) {
			t.Errorf("problems of pump-1: %v", pump.Recent)
		}
		if p := r.b.Status().Problems; len(p) != 0 {
			t.Errorf("problems of no Thing: %v", p)
		}
	})
}

func TestTheStatusTellsOfPayloadsThatAreTooLarge(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for range 3 {
			r.b.TooLarge("things/pump-1/properties", 2_000_000)
		}
		want := "on things/pump-1/properties: a payload of 2000000 bytes is over limits.payload_bytes"
		if p := r.b.Status().Problems; len(p) != 1 || p[0].Kind != "too_large" || p[0].Count != 3 || p[0].Text != want {
			t.Errorf("problems: %v", p)
		}
		if l := r.b.Rejections(); len(l) != 1 || l[0].Count != 3 || l[0].Rule != "-" {
			t.Errorf("rejections: %v", l)
		}
	})
}

func TestTheStatusNamesWhoHasNotAnnouncedItself(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.live("things/pump-1/announce", "{}")
		r.live("things/pump-1/properties/a", "1")
		for i := range 30 {
			r.live(fmt.Sprintf("things/stranger-%02d/properties/a", i), "1")
			time.Sleep(time.Second)
		}
		r.live("things/stranger-03/properties/a", "2")
		s := r.b.Status()
		list := s.Unannounced
		if s.Strangers != 30 || len(list) != 20 || list[0].Thing != "stranger-03" || list[0].Messages != 2 || list[1].Thing != "stranger-29" {
			t.Errorf("unannounced: %v", list)
		}
		r.live("things/stranger-03/announce", "{}")
		if list := r.b.Status().Unannounced; len(list) != 20 || list[0].Thing != "stranger-29" {
			t.Errorf("after its announcement: %v", list)
		}
	})
}

func TestTroubleThatGoesOnIsToldOfEachHour(t *testing.T) {
	var log lines
	bubble(t, nil, func(r *rig) {
		r.live("things/pump-1/announce", `{"properties":{"temp":"NUMBER"}}`)
		for range 150 * 6 { // two hours and a half
			r.live("things/pump-1/properties", `{"temp":"rubbish"}`)
			r.live("things/pump-1/properties", `{"temp":null}`)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		for want, n := range map[string]int{"messages refused\"": 1, "messages refused (goes on)": 2, "messages refused (over)": 1, "count=900": 1, "reason=null": 0} {
			if got := log.count(want); got != n {
				t.Errorf("%d lines with %q, want %d", got, want, n)
			}
		}
	}, func(o *bridge.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

func TestThePresenceThatALineTellsMayBeTheWills(t *testing.T) {
	var log lines
	options := func(o *bridge.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	bubble(t, nil, func(r *rig) {
		r.retained("things/pump-1/announce", "{}")
		r.live("things/pump-1/status", "offline")
		if n := log.count("presence changed", "thing=pump-1", "online=false", `why="presence message, or the will"`, "rule=native/presence/1"); n != 1 {
			t.Errorf("%d lines tell it: %s", n, log.buf.String())
		}
	}, options)
}
