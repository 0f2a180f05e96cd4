package bridge_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

func onePerSecond(o *bridge.Options) { o.Limits.AnnouncementsPerSecond = 1 }

func TestPresenceCountsThatCameAfterAnAnnouncementWhichWaits(t *testing.T) {
	type step struct{ topic, payload string }
	for _, c := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"announced live, then offline", []step{{announce, "{}"}, {status, "offline"}}, bridge.StateOffline},
		{"announced live, then offline and online", []step{{announce, "{}"}, {status, "offline"}, {status, "online"}}, bridge.StateReady},
		{"offline, then announced live", []step{{status, "offline"}, {announce, "{}"}}, bridge.StateReady},
		{"announced live again after offline", []step{{announce, "{}"}, {status, "offline"}, {announce, `{"description":"x"}`}}, bridge.StateReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump("temp"), func(r *rig) {
				r.live("things/other/announce", "{}") // takes the second's turn
				for _, s := range c.steps {
					r.live(s.topic, s.payload)
				}
				r.mustState("pump-1", "forgotten")
				time.Sleep(3 * time.Second)
				synctest.Wait()
				r.mustState("pump-1", c.want)
				if r.platform.isWanted("pump-1") != (c.want == bridge.StateReady) {
					t.Error("the platform was told otherwise")
				}
			}, onePerSecond)
		})
	}
}

func TestAnOfflineAfterNewDefinitionsThatWaitStands(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.live(announce, "{}")
		r.live(announce, `{"description":"x"}`)
		r.live(status, "offline")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateOffline)
	}, onePerSecond)
}

func TestTheHeirOfANameIsNotBoundWhileItIsOffline(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.live("things/PUMP-1/announce", "{}")
		r.live("things/PUMP-1/status", "offline")
		r.live(announce, "")
		r.mustState("PUMP-1", bridge.StateOffline)
		if r.platform.isWanted("PUMP-1") {
			t.Error("wanted on the platform")
		}
	})
}

func TestAnnouncementsThatWaitHoldUpTheBrokerNoMoreThanTheyMust(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.live("things/other/announce", "{}")
		r.retained("things/kept/announce", "{}")
		if r.acks("things/kept/announce", "{}") != 1 {
			t.Error("a retained announcement that waits is not acknowledged, though it comes again")
		}
		for range 10 {
			r.live(announce, "{}")
		}
		if n := r.acks(announce, "{}"); n != 6 {
			t.Errorf("of ten live announcements of a Thing %d are acknowledged, want 6", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := r.acks(announce, "{}"); n != 10 {
			t.Errorf("%d are acknowledged in the end, want 10", n)
		}
	}, onePerSecond)
}

func TestAnnouncementsThatWaitAreBounded(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for _, name := range []string{"a", "b", "c", "d"} {
			r.live("things/"+name+"/announce", "{}")
		}
		if n := r.acks("things/d/announce", "{}"); n != 1 {
			t.Errorf("the one too many is acknowledged %d times, want once", n)
		}
		if len(r.b.Status().Problems) == 0 {
			t.Error("it is not shown")
		}
	}, onePerSecond, func(o *bridge.Options) { o.Limits.Things = 2 })
}

// failing is a Store whose disk can be made to fail.
type failing struct {
	*store.Store
	mu  sync.Mutex
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.err, f.Store.Sync())
}

func TestPresenceIsKeptBeforeItsMessageIsAcknowledged(t *testing.T) {
	disk := &failing{Store: store.NewMemory()}
	bubble(t, pump("temp"), func(r *rig) {
		r.live(announce, "{}")
		r.live(status, "offline")
		disk.fail(errors.New("disk"))
		before := r.acks(announce, "{}")
		r.live(announce, "{}")
		r.mustState("pump-1", bridge.StateReady)
		if r.acks(announce, "{}") != before {
			t.Error("acknowledged, though a restart would find the Thing offline")
		}
	}, func(o *bridge.Options) { o.Store = disk })
}

func TestARefusedAnnouncementIsNoSignThatTheDeviceLeft(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		const taken = `{"identifier":"SN1"}`
		r.retained("things/a/announce", taken)
		r.retained(announce, "{}")
		r.retained(announce, taken)
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.retained("things/a/announce", taken)
		r.retained(announce, taken)
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
	})
}

// Several announcements of one device, each over the rate: none replaces another.
func TestAnnouncementsOfOneDeviceThatWaitAreMerged(t *testing.T) {
	const ovens = `- name: oven
  thing: ${id}
  announce: {topic: "found/{id}/{part}", merge: true, define: '{"properties": fromPairs([[part, {"type": "NUMBER"}]])}'}
  properties: {topic: "ovens/{id}/{property}", value: payload}
`
	bubble(t, nil, func(r *rig) {
		r.live("found/other/x", "{}") // takes the turn
		for _, part := range []string{"heat", "door", "fan"} {
			r.retained("found/oven-1/"+part, "{}")
		}
		r.retained("found/oven-1/fan", "")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		d, ok := r.b.Thing("oven-1")
		if !ok || len(d.Definitions.Properties) != 2 || d.Definitions.Properties["heat"] == nil || d.Definitions.Properties["door"] == nil {
			t.Fatalf("%+v", d)
		}
	}, profile(t, ovens), onePerSecond)
}

// A topic that two devices want is the first one's, over a restart as well, though
// the other's name sorts before.
func TestATopicStaysItsFirstThingsOverARestart(t *testing.T) {
	const gauges = `- name: gauge
  thing: ${id}
  allow_topics: ["line/#"]
  announce: {topic: "found/{id}", define: '{"properties": {"v": {"type": "NUMBER", "topic": payload.topic}}}'}
`
	kept := store.NewMemory()
	with := []setup{profile(t, gauges), func(o *bridge.Options) { o.Store = kept }}
	owner := func(r *rig) string {
		r.live("line/1", "5")
		for _, name := range []string{"a", "z"} {
			if d, ok := r.b.Thing(name); ok && len(d.Known) > 0 {
				return name
			}
		}
		return "nobody"
	}
	bubble(t, nil, func(r *rig) {
		r.retained("found/z", `{"topic": "line/1"}`)
		time.Sleep(time.Second)
		r.retained("found/a", `{"topic": "line/1"}`)
		if got := owner(r); got != "z" {
			t.Fatalf("%s has the topic", got)
		}
	}, with...)
	with[0] = profile(t, gauges)
	bubble(t, nil, func(r *rig) {
		time.Sleep(time.Second)
		if got := owner(r); got != "z" {
			t.Errorf("%s has the topic after the restart", got)
		}
	}, with...)
}

// Announcements of one device that come together cost one BIND more, and one line.
func TestAnnouncementsOfOneDeviceThatComeTogetherCostOneBind(t *testing.T) {
	const ovens = `- name: oven
  thing: ${id}
  announce: {topic: "found/{id}/{part}", merge: true, define: '{"properties": fromPairs([[part, {"type": "NUMBER"}]])}'}
  properties: {topic: "ovens/{id}/{property}", value: payload}
`
	bubble(t, map[string][]alwayson.Subscription{"oven-1": subs("heat")}, func(r *rig) {
		r.live("found/oven-1/heat", "{}")
		r.mustState("oven-1", bridge.StateReady)
		rebinds := func() (n int) {
			r.platform.mu.Lock()
			defer r.platform.mu.Unlock()
			for _, line := range r.platform.log {
				if line == "rebind oven-1" {
					n++
				}
			}
			return n
		}
		for _, part := range []string{"door", "fan", "light"} {
			r.live("found/oven-1/"+part, "{}")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := rebinds(); n != 1 {
			t.Errorf("it is bound anew %d times, want once", n)
		}
		if d, _ := r.b.Thing("oven-1"); len(d.Definitions.Properties) != 4 {
			t.Errorf("%d properties", len(d.Definitions.Properties))
		}
	}, profile(t, ovens))
}
