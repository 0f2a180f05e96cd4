package bridge_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

const (
	announce = "things/pump-1/announce"
	status   = "things/pump-1/status"
)

func TestPresenceDecidesWhatIsBound(t *testing.T) {
	type step struct {
		topic, payload string
		retained       bool
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"a retained announcement binds", []step{{announce, "{}", true}}, bridge.StateReady},
		{"a live announcement binds", []step{{announce, "{}", false}}, bridge.StateReady},
		{"offline unbinds", []step{{announce, "{}", true}, {status, "offline", false}}, bridge.StateOffline},
		{"a retained status that comes first holds for the retained announcement", []step{{status, "offline", true}, {announce, "{}", true}}, bridge.StateOffline},
		{"a retained announcement does not override a retained offline", []step{{announce, "{}", true}, {status, "offline", true}, {announce, "{}", true}}, bridge.StateOffline},
		{"a retained announcement with news does not override it either", []step{{announce, "{}", true}, {status, "offline", true}, {announce, `{"description":"x"}`, true}}, bridge.StateOffline},
		{"online binds again", []step{{announce, "{}", true}, {status, "offline", true}, {status, "online", false}}, bridge.StateReady},
		{"a live announcement binds again", []step{{announce, "{}", true}, {status, "offline", true}, {announce, "{}", false}}, bridge.StateReady},
		{"a live announcement binds after an early offline", []step{{status, "offline", true}, {announce, "{}", false}}, bridge.StateReady},
		{"online alone binds nothing", []step{{status, "online", true}}, "forgotten"},
		{"an empty announcement forgets", []step{{announce, "{}", true}, {announce, "", false}}, "forgotten"},
		{"announced again after it left", []step{{announce, "{}", true}, {announce, "", false}, {announce, "{}", false}}, bridge.StateReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump("temp"), func(r *rig) {
				for _, s := range c.steps {
					r.message(s.topic, s.payload, s.retained)
					synctest.Wait()
				}
				r.mustState("pump-1", c.want)
				if got, want := r.platform.isWanted("pump-1"), c.want == bridge.StateReady; got != want {
					t.Errorf("wanted on the platform: %v, want %v", got, want)
				}
				for _, s := range c.steps {
					if r.acks(s.topic, s.payload) == 0 {
						t.Errorf("%s %q is not acknowledged", s.topic, s.payload)
					}
				}
			})
		})
	}
}

func TestAnnouncedAgain(t *testing.T) {
	for _, c := range []struct {
		name, again string
		want        []string
	}{
		{"the same changes nothing", `{"properties":{"temp":"NUMBER"}}`, []string{"want pump-1"}},
		{"new definitions have the platform look again", `{"properties":{"temp":"STRING"}}`, []string{"want pump-1", "rebind pump-1"}},
		{"a new identifier is bound instead", `{"identifier":"SN1","properties":{"temp":"NUMBER"}}`, []string{"want pump-1", "unwant pump-1", "want *SN1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump("temp"), func(r *rig) {
				r.retained(announce, `{"properties":{"temp":"NUMBER"}}`)
				r.retained(announce, c.again)
				if got := r.platform.history(); !slices.Equal(got, c.want) {
					t.Errorf("the platform was told %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestNameClashIsRefusedAndShown(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.retained("things/PUMP-1/announce", "{}")
		r.mustState("pump-1", bridge.StateReady)
		r.mustState("PUMP-1", "forgotten")
		if s := r.b.Status(); s.Clashes["PUMP-1"] == "" {
			t.Errorf("the clash is not shown: %+v", s.Clashes)
		}
		if d, _ := r.b.Thing("pump-1"); len(d.Recent) == 0 {
			t.Error("the clash is not among the Thing's problems")
		}
		r.live(announce, "")
		r.mustState("pump-1", "forgotten")
		if s := r.state("PUMP-1"); s == "forgotten" {
			t.Error("the other device does not get the name that is free now")
		}
		if s := r.b.Status(); len(s.Clashes) != 0 {
			t.Errorf("a clash is shown that is over: %+v", s.Clashes)
		}
	})
}

func TestIdentifierClashIsRefused(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.retained("things/a/announce", `{"identifier":"SN1"}`)
		r.retained("things/b/announce", `{"identifier":"sn1"}`)
		r.mustState("b", "forgotten")
		if s := r.b.Status(); s.Clashes["b"] == "" {
			t.Error("the clash is not shown")
		}
	})
}

func TestAllowDenyAndLimit(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for _, name := range []string{"pump-1", "Pump-2", "pump-secret", "fan-1", "pump-3"} {
			r.retained("things/"+name+"/announce", "{}")
		}
		var names []string
		for _, s := range r.b.Select(bridge.Selection{}).Things {
			names = append(names, s.Name)
		}
		if want := []string{"Pump-2", "pump-1"}; !slices.Equal(names, want) {
			t.Errorf("registered are %q, want %q", names, want)
		}
	}, func(o *bridge.Options) {
		o.AllowThings, o.DenyThings, o.Limits.Things = []string{"pump-*"}, []string{"*secret"}, 2
	})
}

func TestAnnouncementsOverTheRateWaitAndComeInTheEnd(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		for i := range 30 {
			r.message("things/t"+num(i)+"/announce", "{}", true)
		}
		synctest.Wait()
		if n := len(r.b.Select(bridge.Selection{}).Things); n != 10 {
			t.Fatalf("at once %d Things are registered, want 10", n)
		}
		r.live("things/t29/announce", "")
		time.Sleep(3 * time.Second)
		if n := len(r.b.Select(bridge.Selection{}).Things); n != 29 {
			t.Errorf("in the end %d Things are registered, want 29: one left while it waited", n)
		}
	}, func(o *bridge.Options) { o.Limits.AnnouncementsPerSecond = 10 })
}

func TestRegistrySurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		with := func(o *bridge.Options) { o.Store = kept }
		first := newRig(t, nil, with)
		first.live("things/live/announce", `{"properties":{"temp":"NUMBER"}}`)
		first.retained("things/kept/announce", `{}`)
		first.live("things/gone/announce", `{}`)
		first.live("things/gone/announce", ``)
		first.live("things/off/announce", `{}`)
		first.live("things/off/status", `offline`)
		first.stop()

		second := newRig(t, nil, with)
		defer second.stop()
		second.platform.connect()
		synctest.Wait()
		for name, want := range map[string]string{"live": bridge.StateBound, "kept": bridge.StateBound, "gone": "forgotten", "off": bridge.StateOffline} {
			second.mustState(name, want)
		}
		if d, _ := second.b.Thing("live"); d.Definitions == nil || d.Definitions.Properties["temp"] == nil {
			t.Error("the definitions are lost")
		}

		second.retained("things/live/announce", `{"properties":{"temp":"NUMBER"}}`)
		second.bus.jobs.add(func() { second.b.BusUp(1) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		second.mustState("live", bridge.StateBound)
		second.mustState("kept", "forgotten")
		second.mustState("off", bridge.StateOffline)
	})
}

func TestNothingIsBoundBeforeTheBrokerHasToldWhatItRetains(t *testing.T) {
	for _, marker := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, map[string][]alwayson.Subscription{"pump-1": subs(), "pump-2": subs(), "pump-3": subs()})
			defer r.stop()
			r.bus.noMarker = !marker
			r.platform.connect()
			r.retained(announce, "{}")
			r.retained("things/pump-2/announce", "{}")
			r.live("things/pump-3/announce", "{}")
			r.retained(status, "offline")
			r.mustState("pump-3", bridge.StateReady)
			r.bus.jobs.add(func() { r.b.BusUp(1) })
			time.Sleep(time.Second)
			synctest.Wait()
			if got := r.platform.isWanted("pump-2"); got != marker {
				t.Errorf("with the marker back: %v; wanted: %v", marker, got)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			r.mustState("pump-2", bridge.StateReady)
			r.mustState("pump-1", bridge.StateOffline)
			for _, h := range r.platform.history() {
				if strings.HasSuffix(h, "pump-1") {
					t.Errorf("told the platform %q of a Thing that was offline all the time", h)
				}
			}
		})
	}
}

func TestMarkerSweepsNothingThatIsThere(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, "{}")
		time.Sleep(time.Minute)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.retained(announce, "{}")
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		time.Sleep(time.Minute)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
		r.bus.jobs.add(func() { r.b.BusDown(2, nil) })
		r.bus.jobs.add(func() { r.b.BusUp(3) })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
		time.Sleep(5 * time.Second) // its topic is asked for before it leaves
		synctest.Wait()
		r.mustState("pump-1", "forgotten")
	})
}

func TestABrokerThatForgotEverythingTakesNoThingAway(t *testing.T) {
	others := []string{"a", "b", "c"}
	model := pump()
	for _, name := range others {
		model[name] = subs()
	}
	bubble(t, model, func(r *rig) {
		r.retained(announce, "{}")
		for _, name := range others {
			r.retained("things/"+name+"/announce", "{}")
		}
		connect := func(session uint64, kept bool, announced ...string) {
			r.bus.jobs.add(func() { r.b.BusDown(session-1, nil) })
			synctest.Wait()
			r.bus.mu.Lock()
			r.bus.forgetful = !kept
			r.bus.mu.Unlock()
			for _, topic := range announced {
				r.retained(topic, "{}")
			}
			r.bus.jobs.add(func() { r.b.BusUp(session) })
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		connect(2, false, announce)
		for _, name := range append(others, "pump-1") {
			r.mustState(name, bridge.StateReady)
		}
		r.retained("things/a/announce", "{}")
		connect(3, true, announce)
		r.mustState("a", "forgotten") // its new announcement was the broker's again, and is gone
		r.mustState("b", bridge.StateReady)
		r.live("things/b/announce", "")
		r.mustState("b", "forgotten")
		r.retained("things/c/announce", "{}")
		connect(4, false, announce)
		r.mustState("c", "forgotten") // most are there, so the broker forgot nothing
		r.mustState("pump-1", bridge.StateReady)
	})
}

// keepIn lets bridges share a Store.
func keepIn(kept bridge.Store) setup { return func(o *bridge.Options) { o.Store = kept } }

func TestThingsOfAForgetfulBrokerOutliveARestartOfTheBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := keepIn(store.NewMemory())
		connect := func(r *rig, session uint64, kept bool, announced ...string) {
			r.bus.mu.Lock()
			r.bus.forgetful = !kept
			r.bus.mu.Unlock()
			for _, topic := range announced {
				r.retained(topic, "{}")
			}
			r.bus.jobs.add(func() { r.b.BusUp(session) })
			time.Sleep(7 * time.Second)
			synctest.Wait()
		}
		start := func() *rig {
			r := newRig(t, map[string][]alwayson.Subscription{"pump-1": subs(), "a": subs()}, with)
			r.platform.connect()
			return r
		}
		r := start()
		connect(r, 1, true, announce, "things/a/announce")
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		synctest.Wait()
		connect(r, 2, false)
		r.stop()
		r = start()
		connect(r, 1, true, announce)
		r.mustState("pump-1", bridge.StateReady)
		r.mustState("a", bridge.StateReady) // its announcement was lost before; nothing says that it left
		r.stop()
		r = start()
		defer r.stop()
		connect(r, 1, true)
		r.mustState("pump-1", "forgotten") // its announcement had come again, and is gone
		r.mustState("a", bridge.StateReady)
	})
}

func TestALiveAnnouncementIsAskedForOnceMore(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.live(announce, "{}")
		time.Sleep(time.Second)
		r.bus.mu.Lock()
		defer r.bus.mu.Unlock()
		if !slices.Equal(r.bus.refreshed, []string{announce}) {
			t.Errorf("refreshed are %q, want the announcement's topic", r.bus.refreshed)
		}
	})
}

func TestRefusedBindIsShownWithThePlatformsReason(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.platform.mu.Lock()
		r.platform.refuse["pump-1"] = "not visible to this key"
		r.platform.mu.Unlock()
		r.retained(announce, "{}")
		r.mustState("pump-1", bridge.StateRefused)
		if d, _ := r.b.Thing("pump-1"); d.Reason != "not visible to this key" {
			t.Errorf("reason is %q", d.Reason)
		}
	})
}

// Some brokers send what they retain to a topic's own filter and not to one with
// wildcards.
func TestWhoseAnnouncementIsOnlyToldByItsTopicStays(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump-1": subs(), "pump-2": subs()}, func(r *rig) {
		r.retained(announce, "{}")
		r.retained("things/pump-2/announce", "{}")
		r.bus.mu.Lock()
		r.bus.retains = map[string]string{announce: "{}"}
		r.bus.mu.Unlock()
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
		r.mustState("pump-2", bridge.StateReady)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateReady)
		r.mustState("pump-2", "forgotten")
	})
}

// A bare device that announces itself and sends at once: the bridge asks for its
// announcement once more to learn whether it is retained, which says nothing new.
func TestAPropertyThatWasInferredAtOnceCanBeBrowsed(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump-1": {}}, func(r *rig) {
		r.bus.mu.Lock()
		r.bus.retains = map[string]string{announce: "{}"}
		r.bus.mu.Unlock()
		r.live(announce, "{}")
		r.live("things/pump-1/properties/x", "4")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if m := r.b.Metadata("pump-1"); m == nil || len(m.Properties) != 1 || m.Properties[0].Name != "x" {
			t.Errorf("the platform can browse %+v, want x", m)
		}
	})
}

const plugOnline = `
- name: plugs
  thing: plug-${id}
  announce: {topic: "plug/{id}/online", when: "payload == true"}
  presence: {topic: "plug/{id}/online", online: "payload == true"}
`

// One retained topic announces a device and says that it is away: while it says
// so the device has not left.
func TestADeviceWhoseAnnouncementSaysOfflineStaysOverAReconnect(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"plug-1": subs(), "plug-2": subs()}, func(r *rig) {
		r.retained("plug/1/online", "true")
		r.retained("plug/2/online", "true")
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.retained("plug/1/online", "false")
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		r.mustState("plug-1", bridge.StateOffline)
		r.mustState("plug-2", "forgotten")
	}, profile(t, plugOnline))
}

const answering = `
- name: plugs
  thing: plug-${id}
  announce:
    - {topic: "plug/{id}/online"}
    - {topic: "told/{id}", creates: false, let: {model: payload}}
`

// An answer is not retained and shows nobody: neither does it keep a Thing whose
// announcement is gone, nor hide that this is retained.
func TestADeviceThatAnsweredLeavesWithItsAnnouncement(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"plug-1": subs(), "plug-2": subs()}, func(r *rig) {
		for _, id := range []string{"1", "2"} {
			r.retained("plug/"+id+"/online", "true")
			r.live("told/"+id, "mk1")
		}
		r.mustState("plug-1", bridge.StateReady)
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		r.live("told/1", "mk2")
		r.retained("plug/2/online", "true")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		r.mustState("plug-1", "forgotten")
		r.mustState("plug-2", bridge.StateReady)
	}, profile(t, answering))
}

const behindGateway = `
- name: lamps
  thing: ${id}
  announce: {topic: "lamps/{id}/hello"}
  presence: {topic: "gateway/state", all: true}
`

// What a gateway says for all of its devices holds over a restart, as what a device
// says does: the broker may be away then, or have lost it.
func TestDevicesBehindAGatewayThatIsGoneStayOfflineOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		model := map[string][]alwayson.Subscription{"lamp-1": subs()}
		run := func(test func(*rig)) {
			r := newRig(t, model, profile(t, behindGateway), keepIn(kept))
			defer r.stop()
			r.platform.connect()
			test(r)
		}
		run(func(r *rig) {
			r.bus.jobs.add(func() { r.b.BusUp(1) })
			r.retained("lamps/lamp-1/hello", "{}")
			r.live("gateway/state", "offline")
			r.mustState("lamp-1", bridge.StateOffline)
		})
		run(func(r *rig) {
			synctest.Wait()
			r.mustState("lamp-1", bridge.StateOffline)
			r.bus.jobs.add(func() { r.b.BusUp(1) })
			r.live("gateway/state", "online")
			r.mustState("lamp-1", bridge.StateReady)
		})
		run(func(r *rig) {
			synctest.Wait()
			r.mustState("lamp-1", bridge.StateReady)
		})
	})
}

const silentMeters = `
- name: meters
  thing: ${id}
  announce: {topic: "meters/{id}/hello"}
  expire_after: 1h
  properties: {topic: "meters/{id}/level", property: level, value: payload}
`

func TestADeviceThatFellSilentStaysOfflineOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		run := func(test func(*rig)) {
			r := newRig(t, map[string][]alwayson.Subscription{"meter-1": subs()}, profile(t, silentMeters), keepIn(kept))
			defer r.stop()
			r.platform.connect()
			r.bus.jobs.add(func() { r.b.BusUp(1) })
			test(r)
		}
		run(func(r *rig) {
			r.live("meters/meter-1/hello", "{}")
			r.mustState("meter-1", bridge.StateReady)
			time.Sleep(61 * time.Minute)
			synctest.Wait()
			r.mustState("meter-1", bridge.StateOffline)
		})
		run(func(r *rig) {
			synctest.Wait()
			r.mustState("meter-1", bridge.StateOffline)
			r.live("meters/meter-1/level", "1")
			r.mustState("meter-1", bridge.StateReady)
		})
		run(func(r *rig) {
			synctest.Wait()
			r.mustState("meter-1", bridge.StateReady)
		})
	})
}

const rootsAndLeaves = `
- name: nodes
  thing: ${id}
  announce: {topic: "nodes/{id}/hello", let: {root: payload.root}}
  presence:
    - {topic: "nodes/{id}/state", online: 'payload == "ready"', offline: 'payload != "ready"', along: 'payload == "lost"'}
    - {parent: device.root}
`

// A root that left by itself is gone alone; that is so after a restart, too.
func TestAnOfflineThatTakesNoOthersAlongTakesNoneAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		model := map[string][]alwayson.Subscription{"root": subs(), "leaf": subs()}
		for state, want := range map[string]string{"away": bridge.StateReady, "lost": bridge.StateOffline} {
			first := newRig(t, model, profile(t, rootsAndLeaves), keepIn(kept))
			first.platform.connect()
			first.bus.jobs.add(func() { first.b.BusUp(1) })
			first.live("nodes/root/hello", "{}")
			first.live("nodes/leaf/hello", `{"root": "root"}`)
			first.live("nodes/root/state", state)
			first.mustState("leaf", want)
			first.stop()
			second := newRig(t, model, profile(t, rootsAndLeaves), keepIn(kept))
			second.platform.connect()
			synctest.Wait()
			second.mustState("root", bridge.StateOffline)
			second.mustState("leaf", want)
			second.stop()
		}
	})
}
