package bridge_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

const drowsy = `
- name: drowsy
  thing: ${id}
  queue: 1h
  announce: {topic: "s/{id}/hello"}
  properties:
    - {topic: "s/{id}/data", values: payload}
  writes:
    level: {type: NUMBER, topic: "s/${id}/set", payload: "${value}"}
    mode: {type: STRING, topic: "s/${id}/mode", payload: "${value}"}
`

var drowsyModel = map[string][]alwayson.Subscription{"d": subs("v"), "e": subs("v")}

// bed is a data directory that several runs of a bridge have after each other.
type bed struct {
	t       *testing.T
	dir     string
	metrics *prometheus.Registry // of the present run
}

// sleeping runs a test in a bubble with a data directory.
func sleeping(t *testing.T, test func(*bed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { test(&bed{t: t, dir: dir}) })
}

// run is one life of a bridge in the directory, with the devices d and e.
func (b *bed) run(text string, test func(*rig), options ...setup) {
	b.t.Helper()
	kept, err := store.Open(b.dir, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() {
		if err := kept.Close(); err != nil {
			b.t.Error(err)
		}
	}()
	b.metrics = prometheus.NewRegistry()
	r := newRig(b.t, drowsyModel, append([]setup{profile(b.t, text), keepIn(kept),
		func(o *bridge.Options) { o.Registerer = b.metrics }}, options...)...)
	defer r.stop()
	r.platform.connect()
	r.retained("s/d/hello", "{}")
	r.retained("s/e/hello", "{}")
	r.bus.jobs.add(func() { r.b.BusUp(1) })
	time.Sleep(10 * time.Second)
	synctest.Wait()
	test(r)
}

func (r *rig) write(thing string, v alwayson.Named) chan *alwayson.Response {
	return r.request(thing, alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, thing, v.Name, alwayson.OneRow(v)))
}

func (r *rig) mustWrite(thing string, v alwayson.Named) {
	r.t.Helper()
	if resp := r.answered(r.write(thing, v)); resp.Code != alwayson.Success {
		r.t.Fatalf("write of %s: %s %s", v.Name, resp.Code, resp.Reason)
	}
}

func (r *rig) mustSend(want ...string) {
	r.t.Helper()
	if got := r.bus.sent(); !slices.Equal(got, want) {
		r.t.Fatalf("sent to devices:\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func mode(s string) alwayson.Named { return alwayson.Named{Name: "mode", Value: alwayson.NewString(s)} }

// sample gives a metric of the present run, with these label values.
func (b *bed) sample(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func (b *bed) dropped(reason string) float64 {
	b.t.Helper()
	return b.sample("thingbridge_promised_writes_dropped_total", reason)
}

// troubled reports whether a Thing, or "" nobody's, shows a trouble with the words.
func (r *rig) troubled(thing, words string) bool {
	list := r.b.Status().Problems
	if thing != "" {
		d, _ := r.b.Thing(thing)
		list = d.Recent
	}
	return slices.ContainsFunc(list, func(p bridge.Problem) bool { return strings.Contains(p.Text, words) })
}

func TestPromisedWritesOutliveARestartAndAreSentInOrderOnce(t *testing.T) {
	sleeping(t, func(b *bed) {
		b.run(drowsy, func(r *rig) {
			r.mustWrite("d", mode("eco"))
			r.mustWrite("d", num1("level", 1))
			r.mustWrite("e", num1("level", 7))
			r.mustWrite("d", num1("level", 2))
			r.mustSend()
			start := time.Now()
			r.stop()
			if took := time.Since(start); took > time.Second {
				t.Errorf("the stop waited %v for devices that sleep", took)
			}
		})
		b.run(drowsy, func(r *rig) {
			r.mustSend() // the start of the bridge wakes no device
			if n := b.sample("thingbridge_promised_writes"); n != 3 {
				t.Errorf("%v writes are promised, want 3", n)
			}
			r.live("s/d/data", `{"v":1}`)
			r.mustSend("s/d/mode eco", "s/d/set 2")
			r.live("s/d/data", `{"v":2}`)
			r.mustSend("s/d/mode eco", "s/d/set 2")
		})
		b.run(drowsy, func(r *rig) {
			r.live("s/d/data", `{"v":3}`)
			r.mustSend()
			r.live("s/e/data", `{"v":3}`)
			r.mustSend("s/e/set 7")
		})
	})
}

func TestAWriteIsPromisedOnlyOnceItIsKept(t *testing.T) {
	disk := &failing{Store: store.NewMemory()}
	bubble(t, drowsyModel, func(r *rig) {
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		disk.fail(errors.New("the disk is full"))
		r.mustFail(r.write("d", num1("level", 1)), alwayson.ServiceUnavailable, "could not be kept for it: the disk is full")
		r.live("s/d/data", `{"v":1}`)
		r.mustSend() // its caller knows that it is not made
		disk.fail(nil)
		time.Sleep(time.Minute)
		noneKept(t, disk.Store)
		r.mustWrite("d", num1("level", 2))
		r.live("s/d/data", `{"v":1}`)
		r.mustSend("s/d/set 2")
	}, profile(t, drowsy), keepIn(disk))
}

func TestPromisedWritesGoByTheRulesThatStandAfterARestart(t *testing.T) {
	sleeping(t, func(b *bed) {
		b.run(drowsy, func(r *rig) {
			r.mustWrite("d", mode("eco"))
			r.mustWrite("d", num1("level", 2))
		})
		other := strings.NewReplacer(`"s/${id}/set"`, `"s/${id}/new"`, "    mode: ", "    other: ").Replace(drowsy)
		b.run(other, func(r *rig) {
			if n := b.dropped("unfit"); n != 1 || !r.troubled("d", "promised write of mode came to nothing (unfit)") {
				d, _ := r.b.Thing("d")
				t.Errorf("%v dropped, troubles %v", n, d.Recent)
			}
			r.live("s/d/data", `{"v":1}`)
			r.mustSend("s/d/new 2")
		})
		b.run(drowsy, func(r *rig) {
			r.live("s/d/data", `{"v":1}`)
			r.mustSend()
		})
	})
}

func TestPromisedWritesExpireWhileTheBridgeIsAwayAndWhileItWorks(t *testing.T) {
	sleeping(t, func(b *bed) {
		b.run(drowsy, func(r *rig) { r.mustWrite("d", num1("level", 1)) })
		time.Sleep(2 * time.Hour)
		b.run(drowsy, func(r *rig) {
			if n := b.dropped("expired"); n != 1 || !r.troubled("d", "(expired)") {
				t.Errorf("%v expired after the restart, want 1 and a trouble", n)
			}
			r.mustWrite("d", num1("level", 2))
			time.Sleep(time.Hour + time.Second)
			synctest.Wait()
			if n := b.dropped("expired"); n != 2 {
				t.Errorf("%v expired, want 2", n)
			}
			if n := b.sample("thingbridge_calls_total", "write", "timeout"); n != 2 {
				t.Errorf("%v writes ended by time-out, want 2", n)
			}
			r.live("s/d/data", `{"v":1}`)
			r.mustSend()
		})
	})
}

func TestPromisedWritesToAThingThatLeftAreDropped(t *testing.T) {
	sleeping(t, func(b *bed) {
		b.run(drowsy, func(r *rig) {
			r.mustWrite("d", num1("level", 1))
			r.mustWrite("e", num1("level", 1))
			r.retained("s/d/hello", "")
			r.live("s/d/hello", "")
			time.Sleep(time.Minute)
			r.mustState("d", "forgotten")
			if n := b.dropped("left"); n != 1 || !r.troubled("", "d: a promised write of level came to nothing (left)") {
				t.Errorf("%v dropped: %v", n, r.b.Status().Problems)
			}
		})
		b.run(strings.ReplaceAll(drowsy, `"s/`, `"q/`), func(r *rig) { // nobody announces e
			if n := b.dropped("left"); n != 1 || !r.troubled("", "e: a promised write") {
				t.Errorf("%v dropped: %v", n, r.b.Status().Problems)
			}
		})
		b.run(drowsy, func(r *rig) {
			r.live("s/d/hello", "{}")
			r.live("s/e/data", `{"v":1}`)
			r.mustSend()
		})
	})
}

func TestAReloadMakesPromisedWritesFitTheNewProfile(t *testing.T) {
	reg := prometheus.NewRegistry()
	reloading(t, drowsy, drowsyModel, func(r *reloader) {
		b := &bed{t: t, metrics: reg}
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		r.mustWrite("d", mode("eco"))
		r.mustWrite("d", num1("level", 2))
		moved := strings.NewReplacer(`"s/${id}/set"`, `"s/${id}/new"`, "    mode: ", "    other: ").Replace(drowsy)
		r.reload(moved)
		r.mustSend()
		if n := b.dropped("unfit"); n != 1 || !r.troubled("d", "promised write of mode") {
			t.Errorf("%v dropped at the reload, want 1 and a trouble", n)
		}
		r.live("s/d/data", `{"v":1}`)
		r.mustSend("s/d/new 2")
		time.Sleep(time.Minute)
		r.mustWrite("d", num1("level", 3))
		r.reload(strings.Replace(moved, "  queue: 1h\n", "", 1))
		r.mustSend("s/d/new 2", "s/d/new 3") // it does not sleep any more
	}, func(o *bridge.Options) { o.Registerer = reg })
}

func TestAPromisedWriteThatDoesNotGetOutIsMadeAgain(t *testing.T) {
	sleeping(t, func(b *bed) {
		b.run(drowsy, func(r *rig) {
			r.mustWrite("d", num1("level", 1))
			r.bus.mu.Lock()
			r.bus.fail = bridge.ErrBusFull
			r.bus.mu.Unlock()
			r.live("s/d/data", `{"v":1}`)
			if !r.troubled("d", "made again when the device shows itself") {
				t.Error("the Thing shows no trouble")
			}
		})
		b.run(drowsy, func(r *rig) {
			r.live("s/d/data", `{"v":1}`)
			r.mustSend("s/d/set 1")
			if n := b.sample("thingbridge_calls_total", "write", "ok"); n != 1 {
				t.Errorf("%v writes are done, want 1", n)
			}
		})
	})
}

func TestALaterWriteThatIsDoneTakesThePlaceOfAPromisedOne(t *testing.T) {
	bubble(t, drowsyModel, func(r *rig) {
		fail := func(err error) {
			r.bus.mu.Lock()
			r.bus.fail = err
			r.bus.mu.Unlock()
		}
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		r.mustWrite("d", num1("level", 1))
		fail(bridge.ErrBusFull)
		r.live("s/d/data", `{"v":1}`)
		r.mustFail(r.write("d", num1("level", 2)), alwayson.ServiceUnavailable, "could not be sent")
		fail(nil)
		r.live("s/d/data", `{"v":1}`)
		r.mustSend("s/d/set 1") // the later one failed and its caller knows
		time.Sleep(time.Minute)
		r.mustWrite("d", num1("level", 3))
		fail(bridge.ErrBusFull)
		r.live("s/d/data", `{"v":1}`)
		fail(nil)
		r.mustWrite("d", num1("level", 4)) // the device is awake
		time.Sleep(time.Minute)
		r.live("s/d/data", `{"v":1}`)
		sent := r.bus.sent()
		if last := sent[len(sent)-1]; last != "s/d/set 4" {
			t.Errorf("the device has %q last: %q", last, sent)
		}
	}, profile(t, drowsy))
}

func TestPromisedWritesAreBounded(t *testing.T) {
	bubble(t, drowsyModel, func(r *rig) {
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		r.mustWrite("d", num1("level", 1))
		r.mustFail(r.write("d", mode("eco")), alwayson.ServiceUnavailable, "limits.calls_per_thing")
		r.mustWrite("d", num1("level", 2)) // takes the place of the first
		r.live("s/d/data", `{"v":1}`)
		r.mustSend("s/d/set 2")
		time.Sleep(time.Minute)
		r.mustFail(r.write("d", mode(strings.Repeat("x", 2<<20))), alwayson.ServiceUnavailable, "there is room for 1048576")
	}, profile(t, drowsy), func(o *bridge.Options) { o.Limits.CallsPerThing = 1 })
}

func TestADeviceThatSaysWhenItSleepsGetsItsPromisedWriteAfterARestart(t *testing.T) {
	told := drowsy + "  presence: {topic: \"s/{id}/state\", asleep: 'payload == \"zzz\"'}\n"
	sleeping(t, func(b *bed) {
		b.run(told, func(r *rig) {
			r.live("s/d/state", "zzz")
			r.mustWrite("d", num1("level", 1))
		})
		b.run(told, func(r *rig) {
			r.retained("s/d/state", "zzz")
			r.mustSend()
			r.live("s/d/state", "here")
			r.mustSend("s/d/set 1")
		})
	})
}

func TestADamagedPromisedWriteIsDroppedAndTold(t *testing.T) {
	kept := store.NewMemory()
	if err := kept.SaveWrite(3, []byte{1, 200}); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	bubble(t, drowsyModel, func(r *rig) {
		if n := (&bed{t: t, metrics: reg}).dropped("damaged"); n != 1 || !r.troubled("", "damaged") {
			t.Errorf("%v are damaged: %v", n, r.b.Status().Problems)
		}
		if err := kept.LoadWrites(func(id uint64, _ []byte) error { t.Errorf("%d is still there", id); return nil }); err != nil {
			t.Error(err)
		}
	}, profile(t, drowsy), keepIn(kept), func(o *bridge.Options) { o.Registerer = reg })
}
