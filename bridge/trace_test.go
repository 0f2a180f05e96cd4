package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// told reads the lines that a Trace has by now, in short.
func told(tr *bridge.Trace) (lines []string) {
	for {
		select {
		case l := <-tr.Lines:
			text := l.Kind + " " + l.Topic + l.Thing + "." + l.Name + " " + l.Outcome
			for _, s := range l.Steps {
				text += fmt.Sprintf("[%s %s %s.%s=%s]", s.Rule, s.What, s.Thing, s.Name, s.Value)
			}
			lines = append(lines, strings.TrimSpace(text+" "+l.Reason))
		default:
			return lines
		}
	}
}

func expectLines(t *testing.T, tr *bridge.Trace, want ...string) {
	t.Helper()
	synctest.Wait()
	got := told(tr)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.Contains(got[i], want[i]) {
			t.Fatalf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

func TestATraceFollowsAMessageToThePlatformsAcknowledgement(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump": {{EdgeName: "temp", Push: alwayson.PushValue}}}, func(r *rig) {
		r.retained("things/pump/announce", `{"properties": {"temp": "NUMBER"}}`)
		tr := r.b.Trace(bridge.TraceFilter{Thing: "PUM"})
		defer tr.Close()
		r.live("things/pump/properties", `{"temp": 21.5, "odd": "x"}`)
		expectLines(t, tr, `message things/pump/properties. [native/properties/1 value pump.temp=21.5][native/properties/1 value pump.odd="x"]`,
			"end pump.temp sent", "end pump.odd no_binding", "kept")
		r.live("things/pump/properties/temp", "21.5")
		expectLines(t, tr, "[native/properties/2 value pump.temp=21.5]", "end pump.temp filtered", "kept")
		r.live("things/pump/properties/temp", `"hot"`)
		expectLines(t, tr, "rejected pump.=temp: a NUMBER is wanted", "kept")
		r.live("things/fan/properties/temp", "3")
		expectLines(t, tr)
	})
}

func TestATraceSaysWhyAPushIsMadeAgain(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump": subs("temp")}, func(r *rig) {
		r.retained("things/pump/announce", `{"properties": {"temp": "NUMBER"}}`)
		tr := r.b.Trace(bridge.TraceFilter{Topic: "things/+/properties/#"})
		defer tr.Close()
		r.platform.down()
		r.live("things/pump/properties/temp", "1")
		lines := func() string { synctest.Wait(); return strings.Join(told(tr), "\n") }
		if got := lines(); !strings.Contains(got, "message things/pump") || strings.Contains(got, "sent") {
			t.Fatalf("during the outage: %s", got)
		}
		r.platform.connect()
		time.Sleep(10 * time.Second)
		if got := lines(); !strings.Contains(got, "end pump.temp sent") {
			t.Fatalf("after it: %s", got)
		}
	})
}

func TestATraceIsBoundedAndCountsWhatItDoesNotShow(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		tr := r.b.Trace(bridge.TraceFilter{})
		const n = 10_000
		for i := range n {
			r.message(fmt.Sprintf("x/%d", i), "1", false)
		}
		synctest.Wait()
		shown := 0
		for _, l := range told(tr) {
			if strings.HasPrefix(l, "message") {
				shown++
			}
		}
		if shown == 0 || shown > 100 || tr.Dropped() < n-100 {
			t.Errorf("%d shown, %d dropped", shown, tr.Dropped())
		}
		tr.Close()
		tr.Close()
		before := tr.Dropped()
		r.live("x/y", "1")
		if len(told(tr)) > 0 || tr.Dropped() != before {
			t.Error("it goes on after Close")
		}
	})
}

func TestATraceShowsCallsWithTheirEnd(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.retained("things/pump/announce", `{"services": {"Go": {"timeout": "2s"}}}`)
		tr := r.b.Trace(bridge.TraceFilter{Thing: "pump"})
		defer tr.Close()
		r.service("pump", "Go")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got := strings.Join(told(tr), "\n")
		if !strings.Contains(got, "call things/pump/services/Go/request/") || !strings.Contains(got, "timeout") {
			t.Errorf("%s", got)
		}
	})
}
