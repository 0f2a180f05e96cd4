package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// A configuration that was wrong for a moment: what only the earlier profiles listen
// to is subscribed still, so to subscribe it brings nothing, and it must be asked for.
func TestAProfileThatComesBackAtOnceFindsItsDevices(t *testing.T) {
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.bus.mu.Lock()
		r.bus.retains = map[string]string{"acme/+/hello": "{}"}
		r.bus.mu.Unlock()
		r.reload(valves)
		r.mustState("acme-1", "forgotten")
		r.reload(pumps)
		r.bus.mu.Lock()
		refreshed := slices.Clone(r.bus.refreshed)
		r.bus.mu.Unlock()
		for _, f := range []string{"acme/+/hello", "acme/+/status"} {
			if !slices.Contains(refreshed, f) {
				t.Errorf("what is retained under %s is not asked for: %v", f, refreshed)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := r.filters(); !strings.Contains(got, "acme/+/hello") || strings.Contains(got, "valve") {
			t.Errorf("subscribed is %s", got)
		}
	})
}

// What one former Engine is done with, another may still need.
func TestAFilterStaysAsLongAsAnyCallNeedsIt(t *testing.T) {
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		r.reload(strings.ReplaceAll(pumps, "/done", "/end"))
		r.reload(pumps)
		requests := make(chan string, 4)
		r.device(func(topic string, _ []byte) { requests <- topic })
		call := r.service("acme-1", "Reset")
		synctest.Wait()
		asked := <-requests
		r.reload(strings.ReplaceAll(pumps, "/done", "/end"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := r.filters(); !strings.Contains(got, "acme/+/reset/+/done") {
			t.Errorf("the reply of a call in flight is not listened to: %s", got)
		}
		r.live(asked+"/done", `{"result":"yes"}`)
		if resp := r.answered(call); !resp.Code.IsSuccess() {
			t.Errorf("%s %s", resp.Code, resp.Reason)
		}
	})
}

// Platform names that go from one Thing to the next are let go before they are taken.
func TestPlatformNamesThatMoveOnAreBoundUnderTheirNewThings(t *testing.T) {
	const n = 60
	by := func(expr string) string {
		return `
- name: acme
  thing: acme-${id}
  announce: {topic: "acme/{id}/hello", define: '{"identifier": "sn" + string(` + expr + `)}'}
  properties: [{topic: "acme/{id}/data", values: payload}]
`
	}
	names := []string{}
	for i := range n + 1 {
		names = append(names, fmt.Sprintf("*sn%d", i))
	}
	reloading(t, by("int(id)"), model(names...), func(r *reloader) {
		for i := range n {
			r.live(fmt.Sprintf("acme/%d/hello", i), `{}`)
		}
		if c := r.reload(by("int(id) + 1")); c.Rebound != n {
			t.Errorf("%+v", c)
		}
		for i := range n {
			r.mustState(fmt.Sprintf("acme-%d", i), bridge.StateReady)
		}
	})
}

// What a session keeps back was acknowledged: it may not be lost with the session.
func TestASessionThatChangesGivesOutWhatItKeptBack(t *testing.T) {
	with := func(timeout string) setup {
		var list yaml.Node
		if err := yaml.Unmarshal([]byte("[{preset: sparkplug-b, with: {reorder_timeout: "+timeout+"}}]"), &list); err != nil {
			t.Fatal(err)
		}
		p, problems := mapping.Load(&list, "test.yaml", presets.Open)
		if p == nil {
			t.Fatal(problems)
		}
		return func(o *bridge.Options) { o.Engine = mapping.NewEngine(p, mapping.Options{}) }
	}
	for name, to := range map[string]string{"its parameters are others": "3s", "nothing of it changes": "2s"} {
		t.Run(name, func(t *testing.T) {
			reloading(t, valves, map[string][]alwayson.Subscription{"g.n": subs("v")}, func(r *reloader) {
				say := func(kind, text string) { r.live("spBv1.0/g/"+kind+"/n", sparkPayload(t, text)) }
				say("NBIRTH", `{"seq": 0, "metrics": [{"name": "v", "type": "Int32", "value": 1, "alias": 1}]}`)
				say("NDATA", `{"seq": 2, "metrics": [{"alias": 1, "value": 3}]}`)
				r.mustGot("g.n.v=1")
				r.reload("", with(to))
				if to == "2s" {
					r.mustGot("g.n.v=1")
					say("NDATA", `{"seq": 1, "metrics": [{"alias": 1, "value": 2}]}`)
					r.mustGot("g.n.v=1", "g.n.v=2", "g.n.v=3")
					return
				}
				r.mustGot("g.n.v=1", "g.n.v=3")
			}, with("2s"))
		})
	}
}

func TestDevicesThatChangeNamesKeepTheirPresence(t *testing.T) {
	held := strings.Replace(pumps, `presence: {topic: "acme/{id}/status"}`, `presence: {topic: "acme/{id}/status", online: 'payload != "offline"', hold: 'payload == "init"'}`, 1)
	for name, tt := range map[string]struct{ to, one, two string }{
		"with each other":    {"acme-${string(3 - int(id))}", "acme-2", "acme-1"},
		"to those of nobody": {"pump-${id}", "pump-1", "pump-2"},
	} {
		t.Run(name, func(t *testing.T) {
			reloading(t, held, model("acme-1", "acme-2", "pump-1", "pump-2"), func(r *reloader) {
				r.live("acme/1/hello", `{}`)
				r.live("acme/2/hello", `{}`)
				r.live("acme/1/status", "offline")
				r.live("acme/2/status", "init")
				if n := r.reload(strings.Replace(held, "acme-${id}", tt.to, 1)); n.Renamed != 2 || n.Left != 0 {
					t.Errorf("%+v", n)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				r.mustState(tt.one, bridge.StateOffline)
				r.mustState(tt.two, bridge.StateInitial)
				r.live("acme/2/data", `{"v":2}`)
				r.live("acme/2/status", "ready")
				r.mustGot(tt.two + ".v=2")
			})
		})
	}
}
