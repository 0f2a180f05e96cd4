package bridge_test

import (
	"maps"
	"testing"
	"testing/synctest"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// mustTally compares what the bridge counted as states changed with the states
// that its Things have. Every rig does so at its end.
func (r *rig) mustTally() {
	r.t.Helper()
	counted := r.b.Status().Things
	walked := map[string]int{}
	for state := range counted {
		walked[state] = 0
	}
	for _, t := range r.b.Select(bridge.Selection{}).Things {
		walked[t.State]++
	}
	if !maps.Equal(counted, walked) {
		r.t.Errorf("counted by state %v, the Things are %v", counted, walked)
	}
}

func TestThingsAreCountedByStateAsTheyChange(t *testing.T) {
	model := pump("temp")
	bubble(t, model, func(r *rig) {
		steps := []struct {
			name string
			do   func()
			want string
		}{
			{"announced", func() { r.live("things/pump-1/announce", "{}") }, bridge.StateReady},
			{"offline", func() { r.live("things/pump-1/status", "offline") }, bridge.StateOffline},
			{"online", func() { r.live("things/pump-1/status", "online") }, bridge.StateReady},
			{"the platform is away", func() { r.platform.down(); synctest.Wait() }, bridge.StateUnbound},
			{"it is back and refuses", func() {
				r.platform.refuse["pump-1"] = "no permission"
				r.platform.connect()
				synctest.Wait()
			}, bridge.StateRefused},
			{"left", func() { r.live("things/pump-1/announce", "") }, ""},
		}
		for _, s := range steps {
			s.do()
			r.mustTally()
			for state, n := range r.b.Status().Things {
				if want := state == s.want; want != (n == 1) {
					r.t.Errorf("%s: %d Things are %s", s.name, n, state)
				}
			}
		}
	})
}

const hubs = `
- name: hubs
  thing: ${id}
  announce: {topic: "site/{id}/hello", let: {hub: payload.hub}}
  leave: {topic: "site/{id}/bye"}
  presence:
    - {topic: "site/{id}/status", online: 'payload == "online"', offline: 'payload == "offline"'}
    - {parent: device.hub}
`

func TestAChildFollowsItsParentAlsoWhenThatIsAnnouncedLaterOrForgotten(t *testing.T) {
	model := map[string][]alwayson.Subscription{"hub": subs("a"), "child": subs("a")}
	bubble(t, model, func(r *rig) {
		r.live("site/child/hello", `{"hub":"hub"}`)
		r.mustState("child", bridge.StateReady)
		steps := []struct {
			name, topic, payload, want string
		}{
			{"an offline of a hub that is not known", "site/hub/status", "offline", bridge.StateReady},
			{"the hub, which is offline", "site/hub/hello", "{}", bridge.StateOffline},
			{"the hub is forgotten", "site/hub/bye", "x", bridge.StateReady},
		}
		for _, s := range steps {
			r.message(s.topic, s.payload, s.topic == "site/hub/hello")
			synctest.Wait()
			if got := r.state("child"); got != s.want {
				t.Errorf("%s: the child is %s, want %s", s.name, got, s.want)
			}
			if r.platform.isWanted("child") != (s.want == bridge.StateReady) {
				t.Errorf("%s: the child is wanted on the platform: %v", s.name, r.platform.isWanted("child"))
			}
			r.mustTally()
		}
	}, profile(t, hubs))
}
