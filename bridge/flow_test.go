package bridge_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
	"thingbridge/bridge/outbox"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

const properties = "things/pump-1/properties"

func TestValuesReachThePlatformInOrder(t *testing.T) {
	bubble(t, pump("temp", "on"), func(r *rig) {
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1,"on":true}`)
		r.live(properties+"/temp", `2`)
		r.live("things/pump-1/events/Alarm", `{"code":7}`)
		r.live(properties+"/temp", `3`)
		got := r.platform.got()
		if len(got) > 1 && got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		want := []string{"pump-1.on=true", "pump-1.temp=1", "pump-1.temp=2", "pump-1!Alarm", "pump-1.temp=3"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestGateStaysClosedUntilSubscribed(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{}, func(r *rig) {
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1}`)
		r.mustState("pump-1", bridge.StateBound)
		r.mustGot()
		if r.acks(properties, `{"temp":1}`) != 0 {
			t.Error("acknowledged, though nobody has the value")
		}
		r.platform.jobs.add(func() { r.b.Subscribed("pump-1", subs("temp")) })
		synctest.Wait()
		r.mustGot("pump-1.temp=1")
		if r.acks(properties, `{"temp":1}`) != 1 {
			t.Error("not acknowledged once")
		}
	})
}

func TestPushTypesAreHonoured(t *testing.T) {
	sub := func(p alwayson.PushType, threshold float64) []alwayson.Subscription {
		return []alwayson.Subscription{{EdgeName: "v", Push: p, Threshold: threshold}}
	}
	for _, c := range []struct {
		name string
		subs []alwayson.Subscription
		in   []string
		want []string
	}{
		{"ALWAYS: every value", sub(alwayson.PushAlways, 0), []string{"1", "1", "2"}, []string{"1", "1", "2"}},
		{"VALUE: changes", sub(alwayson.PushValue, 0), []string{"1", "1", "2", "1"}, []string{"1", "2", "1"}},
		{"VALUE: by more than the threshold from the previous one", sub(alwayson.PushValue, 1), []string{"1", "1.5", "2", "4"}, []string{"1", "4"}},
		{"DEADBAND: from the last sent one", sub(alwayson.PushDeadband, 1), []string{"1", "1.5", "2.5"}, []string{"1", "2.5"}},
		{"NEVER: none", sub(alwayson.PushNever, 0), []string{"1", "2"}, nil},
		{"VALUE: a change of quality", sub(alwayson.PushValue, 0), []string{`{"values":{"v":1}}`, `{"values":{"v":1},"quality":"BAD"}`}, []string{"1", "1"}},
		{"no binding: none", subs("other"), []string{"1", "2"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, map[string][]alwayson.Subscription{"pump-1": c.subs}, func(r *rig) {
				r.retained(announce, "{}")
				for _, v := range c.in {
					if !strings.HasPrefix(v, "{") {
						v = `{"v":` + v + `}`
					}
					r.live(properties, v)
					if r.acks(properties, v) == 0 {
						t.Errorf("%s is not acknowledged", v)
					}
				}
				var want []string
				for _, v := range c.want {
					want = append(want, "pump-1.v="+v)
				}
				r.mustGot(want...)
			})
		})
	}
}

func TestMissingBindingsAreShownAndPushedWhenMade(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1,"flow":5}`)
		r.live(properties, `{"flow":6}`)
		r.mustGot("pump-1.temp=1")
		if d, _ := r.b.Thing("pump-1"); d.MissingBindings["flow"] != 2 || len(d.MissingBindings) != 1 {
			t.Errorf("missing bindings are %v, want flow twice", d.MissingBindings)
		}
		r.platform.jobs.add(func() { r.b.Subscribed("pump-1", subs("temp", "flow")) })
		synctest.Wait()
		r.mustGot("pump-1.temp=1", "pump-1.flow=6")
		if d, _ := r.b.Thing("pump-1"); len(d.MissingBindings) != 0 {
			t.Errorf("missing bindings are %v, want none", d.MissingBindings)
		}
	})
}

func TestValuesBeforeTheAnnouncementWait(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		for i := range 5 {
			r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
		}
		r.mustGot()
		r.live(announce, `{"properties":{"temp":"NUMBER"}}`)
		r.live(properties, `{"temp":5}`)
		r.mustGot("pump-1.temp=0", "pump-1.temp=1", "pump-1.temp=2", "pump-1.temp=3", "pump-1.temp=4", "pump-1.temp=5")
	})
}

func TestValuesBeforeTheAnnouncementAreBounded(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		for i := range 100 {
			r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
		}
		r.live(announce, `{}`)
		got := r.platform.got()
		if len(got) == 0 || len(got) > 20 || got[len(got)-1] != "pump-1.temp=99" {
			t.Errorf("got %d values, the last %q; want at most 20, the newest last", len(got), got[max(0, len(got)-1):])
		}
	}, func(o *bridge.Options) { o.Limits.WaitingPerThing = 20 })
}

func TestAFailedPushIsDecidedOnAgain(t *testing.T) {
	onChange := map[string][]alwayson.Subscription{"pump-1": {{EdgeName: "temp", Push: alwayson.PushValue}}}
	bubble(t, onChange, func(r *rig) {
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1}`)
		r.platform.manual = true
		r.live(properties, `{"temp":2}`)
		r.platform.down()
		synctest.Wait()
		r.platform.manual = false
		r.platform.connect()
		synctest.Wait()
		r.live(properties, `{"temp":2}`)
		r.mustGot("pump-1.temp=1", "pump-1.temp=2")
	})
}

func TestConnectionLostInAPushLosesNothing(t *testing.T) {
	for _, mode := range []string{"before the platform had it", "after"} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, pump("temp"), func(r *rig) {
				r.retained(announce, "{}")
				r.platform.manual = true
				for i := range 5 {
					r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
				}
				if mode == "after" {
					r.platform.mu.Lock()
					r.platform.storeLocked(r.platform.waiting[0].req)
					r.platform.mu.Unlock()
				}
				r.platform.down()
				synctest.Wait()
				r.live(properties, `{"temp":5}`)
				r.platform.manual = false
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := r.platform.misses; n != 0 {
					t.Errorf("%d pushes were tried without a connection", n)
				}
				r.platform.connect()
				synctest.Wait()
				got := slices.Compact(r.platform.got())
				for i := range 6 {
					if i >= len(got) || got[i] != fmt.Sprintf("pump-1.temp=%d", i) {
						t.Fatalf("got %q, want 0 to 5 in order", got)
					}
				}
			})
		})
	}
}

func TestOneThingsPushesNeverOverlap(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"a": subs("v"), "b": subs("v")}, func(r *rig) {
		r.platform.manual = true
		r.retained("things/a/announce", "{}")
		r.retained("things/b/announce", "{}")
		for i := range 3 {
			r.live("things/a/properties", fmt.Sprintf(`{"v":%d}`, i))
			r.live("things/b/properties", fmt.Sprintf(`{"v":%d}`, i))
		}
		if n := len(r.platform.waiting); n != 2 {
			t.Fatalf("%d pushes are in flight, want one for each Thing", n)
		}
		for len(r.platform.waiting) > 0 {
			r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
			synctest.Wait()
		}
		if n := len(r.platform.got()); n != 6 {
			t.Errorf("%d values came, want 6", n)
		}
	})
}

func TestOfflineLetsQueuedValuesOutFirst(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.platform.manual = true
		r.live(properties, `{"temp":1}`)
		r.live(properties, `{"temp":2}`)
		r.live(status, "offline")
		if !r.platform.isWanted("pump-1") {
			t.Fatal("unbound with values in the queue")
		}
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.mustGot("pump-1.temp=1", "pump-1.temp=2")
		if r.platform.isWanted("pump-1") {
			t.Error("still bound when the queue is empty")
		}
	})
}

func TestOfflineWaitsNoLongerThanFiveSeconds(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.platform.manual = true
		r.live(properties, `{"temp":1}`)
		r.live(announce, "")
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		r.mustState("pump-1", bridge.StateLeaving)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		r.mustState("pump-1", "forgotten")
		if n, _, _ := r.outbox.Depth("pump-1"); n != 0 {
			t.Errorf("%d records of a Thing that left are kept", n)
		}
	})
}

func TestWatchdogReconnectsAPlatformThatAnswersNothing(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.platform.manual = true
		r.live(properties, `{"temp":1}`)
		time.Sleep(21 * time.Second)
		r.platform.mu.Lock()
		n := len(r.platform.resets)
		r.platform.manual = false
		r.platform.mu.Unlock()
		if n != 1 {
			t.Fatalf("%d reconnects, want 1", n)
		}
		r.platform.down()
		r.platform.connect()
		time.Sleep(time.Minute)
		r.mustGot("pump-1.temp=1")
		if n := len(r.platform.resets); n != 1 {
			t.Errorf("%d reconnects, want no more than one", n)
		}
	}, func(o *bridge.Options) { o.Watchdog = 20 * time.Second })
}

func TestABacklogShrinksWhateverArrivesMeanwhile(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	model := map[string][]alwayson.Subscription{}
	for _, name := range names {
		model[name] = subs("v")
	}
	registry := prometheus.NewRegistry()
	bubble(t, model, func(r *rig) {
		for _, name := range names {
			r.retained("things/"+name+"/announce", "{}")
		}
		r.platform.down()
		n := 0
		each := func(rounds int, gap time.Duration) {
			for range rounds {
				for _, name := range names {
					n++
					r.message("things/"+name+"/properties", fmt.Sprintf(`{"v":%d}`, n/8), false)
				}
				time.Sleep(gap)
			}
		}
		each(1500, 10*time.Millisecond)
		r.platform.connect()
		each(3000, 10*time.Millisecond) // 400 a second, four times the rate
		synctest.Wait()
		if records, _, _ := r.outbox.Depth(""); records > 4000 {
			t.Errorf("%d records wait half a minute after 6,000 did", records)
		}
		time.Sleep(time.Minute)
		if records, _, _ := r.outbox.Depth(""); records != 0 {
			t.Errorf("%d records wait in the end", records)
		}
		if looked := valuesLookedAt(t, registry); looked != n {
			t.Errorf("%d decisions on %d values: each is to be looked at once", looked, n)
		}
	}, func(o *bridge.Options) { o.ReplayRate, o.Registerer = 100, registry })
}

// valuesLookedAt is how many values were sent or filtered.
func valuesLookedAt(t *testing.T, registry *prometheus.Registry) (n int) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "thingbridge_values_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if outcome := m.GetLabel()[0].GetValue(); outcome == "sent" || outcome == "filtered" {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

func TestBacklogIsReplayedAtItsRate(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump-1": subs("temp"), "live": subs("v")}, func(r *rig) {
		r.platform.maxBody = 800
		r.retained(announce, "{}")
		r.retained("things/live/announce", "{}")
		r.platform.down()
		for i := range 3000 {
			r.message(properties, fmt.Sprintf(`{"temp":%d}`, i), false)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		r.platform.connect()
		time.Sleep(time.Second)
		r.live("things/live/properties", `{"v":1}`)
		got := r.platform.got()
		if !slices.Contains(got, "live.v=1") {
			t.Error("a live value waits behind another Thing's backlog")
		}
		if n := len(got); n < 500 || n > 1500 {
			t.Errorf("%d values in the first second, want about 1,000 at the most", n)
		}
		time.Sleep(10 * time.Second)
		if n := len(r.platform.got()); n != 3001 {
			t.Errorf("%d values in the end, want 3001", n)
		}
	}, func(o *bridge.Options) { o.ReplayRate = 500 })
}

func TestDiskOutboxKeepsValuesOverARestart(t *testing.T) {
	dir := t.TempDir()
	kept := store.NewMemory()
	for round := range 2 {
		synctest.Test(t, func(t *testing.T) {
			box, err := outbox.OpenDisk(filepath.Join(dir, "outbox.db"), outbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer box.Close()
			r := newRig(t, pump("temp"), func(o *bridge.Options) { o.Store, o.Outbox = kept, box })
			defer r.stop()
			if round == 0 {
				r.live(announce, "{}")
				for i := range 10 {
					r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
					for r.acks(properties, fmt.Sprintf(`{"temp":%d}`, i)) == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				r.mustGot()
				return
			}
			r.platform.connect()
			time.Sleep(time.Second)
			synctest.Wait()
			got := r.platform.got()
			if len(got) != 10 || got[0] != "pump-1.temp=0" || got[9] != "pump-1.temp=9" {
				t.Errorf("got %q, want the ten values", got)
			}
		})
	}
}

// slowOutbox keeps nothing until the test says so.
type slowOutbox struct {
	bridge.Outbox
	kept []func(error)
}

func (o *slowOutbox) Append(recs []bridge.Record, kept func(error)) {
	o.kept = append(o.kept, kept)
	o.Outbox.Append(recs, func(error) {})
}

func TestAMessageIsAcknowledgedOnlyWhenItIsKept(t *testing.T) {
	box, err := outbox.NewMemory(outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowOutbox{Outbox: box}
	bubble(t, pump("temp"), func(r *rig) {
		defer box.Close()
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1}`)
		r.live(properties, `{"temp":2}`)
		r.mustGot("pump-1.temp=1", "pump-1.temp=2")
		if r.acks(properties, `{"temp":1}`)+r.acks(properties, `{"temp":2}`) != 0 {
			t.Fatal("acknowledged before the outbox has it")
		}
		slow.kept[0](nil)
		slow.kept[1](fmt.Errorf("disk full"))
		synctest.Wait()
		if r.acks(properties, `{"temp":1}`) != 1 || r.acks(properties, `{"temp":2}`) != 0 {
			t.Error("want the kept one acknowledged and the other not")
		}
	}, func(o *bridge.Options) { o.Outbox = slow })
}

func TestAPropertyThatNothingDeclaresIsOfferedToThePlatform(t *testing.T) {
	model := pump("temp")
	bubble(t, model, func(r *rig) {
		binds := func() (n int) {
			for _, h := range r.platform.history() {
				if strings.HasPrefix(h, "rebind") {
					n++
				}
			}
			return n
		}
		r.retained(announce, `{"properties":{"temp":"NUMBER","quiet":"NUMBER"}}`)
		r.live(properties, `{"temp":1,"quiet":1}`)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := binds(); n != 0 {
			t.Fatalf("bound again %d times for what is declared", n)
		}
		r.platform.mu.Lock()
		r.platform.model = pump("temp", "level")
		r.platform.mu.Unlock()
		r.live(properties, `{"level":1,"mode":"x"}`)
		r.live(properties, `{"level":2}`)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := binds(); n != 1 {
			t.Fatalf("bound again %d times, want 1: %q", n, r.platform.history())
		}
		r.mustGot("pump-1.temp=1", "pump-1.level=2")
		text := alwayson.Result(r.answered(r.service("pump-1", "GetMetadata")).Content, "result").Text()
		if !strings.Contains(text, `"mode"`) || !strings.Contains(text, `"level"`) {
			t.Errorf("metadata is %s", text)
		}
		r.live(properties, `{"later":1}`)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := binds(); n != 1 {
			t.Errorf("bound again %d times within a minute", n)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := binds(); n != 2 {
			t.Errorf("bound again %d times after a minute, want 2", n)
		}
	})
}

// What was inferred from values dies with a process that is killed, the values do
// not: the platform must still be able to browse their property.
func TestValuesThatOutlivedAKillTellWhatTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, killed := bridge.Store(store.NewMemory()), store.NewMemory()
		box, err := outbox.NewMemory(outbox.Options{HoldMax: 100})
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		with := func(o *bridge.Options) { o.Store, o.Outbox = kept, box }
		before := newRig(t, nil, with)
		before.bus.jobs.add(func() { before.b.BusUp(1) })
		before.live(announce, "{}")
		if err := kept.Load(killed.Save); err != nil {
			t.Fatal(err)
		}
		before.live("things/pump-1/properties", `{"odd": "a"}`)
		before.live("things/pump-1/properties", `{"odd": "b"}`)
		before.stop()
		kept = killed
		r := newRig(t, pump("temp"), with)
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		r.platform.connect()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m := r.b.Metadata("pump-1"); m == nil || len(m.Properties) != 1 || m.Properties[0].Type != alwayson.TypeString {
			t.Fatalf("the platform is told %+v", m)
		}
		r.platform.mu.Lock()
		r.platform.model["pump-1"] = subs("temp", "odd")
		r.platform.mu.Unlock()
		r.platform.down()
		r.platform.connect()
		synctest.Wait()
		r.mustGot(`pump-1.odd="b"`)
	})
}
