package bridge_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

func TestOnePoisonedValueCostsOnlyItself(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.platform.judge = func(req *alwayson.Request) (*alwayson.Response, error) {
			for _, v := range valuesOf(req) {
				if v.Value.Number() == 13 {
					return alwayson.Fail(alwayson.BadRequest, "unlucky"), nil
				}
			}
			return nil, nil
		}
		r.platform.down()
		r.retained(announce, "{}")
		var want []string
		for i := range 40 {
			r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
			if i != 13 {
				want = append(want, fmt.Sprintf("pump-1.temp=%d", i))
			}
		}
		r.platform.connect()
		synctest.Wait()
		r.mustGot(want...)
		if d, _ := r.b.Thing("pump-1"); len(d.Recent) == 0 || !strings.Contains(d.Recent[0].Text, "unlucky") {
			t.Errorf("the platform's reason is not shown: %+v", d.Recent)
		}
		if d, _ := r.b.Thing("pump-1"); d.QueuedRecords != 0 {
			t.Errorf("%d records are left", d.QueuedRecords)
		}
	})
}

// A table that is short on the wire can be large in memory, where it stays until
// the platform has answered.
func TestPushesInFlightAreBoundedByWhatTheyTakeInMemory(t *testing.T) {
	model := map[string][]alwayson.Subscription{}
	for i := range 8 {
		model[fmt.Sprintf("t%d", i)] = subs("v")
	}
	bubble(t, model, func(r *rig) {
		r.platform.manual = true
		for thing := range model {
			r.retained("things/"+thing+"/announce", "{}")
			r.live("things/"+thing+"/properties/v", table(600)) // 12 MB
		}
		if n := len(r.platform.waiting); n != 3 {
			t.Errorf("%d pushes are in flight, want 3: over 32 MiB", n)
		}
		for len(r.platform.waiting) > 0 {
			r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
			synctest.Wait()
		}
		if n := len(r.platform.got()); n != 8 {
			t.Errorf("%d values came, want 8", n)
		}
	})
}

func TestValuesThatAreFilteredDoNotPileUpInAPush(t *testing.T) {
	model := map[string][]alwayson.Subscription{"pump-1": {{EdgeName: "v", Push: alwayson.PushValue}, {EdgeName: "temp", Push: alwayson.PushAlways}}}
	bubble(t, model, func(r *rig) {
		r.retained(announce, "{}")
		r.platform.manual = true
		r.live(properties, `{"temp":1}`)
		for range 20 {
			r.live(properties+"/v", table(40)) // 0.8 MB
		}
		r.live(properties, `{"temp":2}`)
		for len(r.platform.waiting) > 0 {
			r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
			synctest.Wait()
		}
		if got := r.platform.got(); len(got) != 3 || got[0] != "pump-1.temp=1" || got[2] != "pump-1.temp=2" {
			t.Errorf("the platform got %d values, want temp, one table, temp", len(got))
		}
		if d, _ := r.b.Thing("pump-1"); d.QueuedRecords != 0 {
			t.Errorf("%d records are left", d.QueuedRecords)
		}
	})
}

// What the platform says of a refusal is kept until the episode is over, for each Thing.
func TestOfWhatThePlatformRefusesLittleIsTold(t *testing.T) {
	var log strings.Builder
	bubble(t, pump("temp"), func(r *rig) {
		code := alwayson.BadRequest
		r.platform.judge = func(*alwayson.Request) (*alwayson.Response, error) {
			return alwayson.Fail(code, strings.Repeat("unlucky ", 100_000)), nil
		}
		r.retained(announce, "{}")
		r.live(properties, `{"temp":1}`)
		time.Sleep(time.Hour)
		code = alwayson.NotFound
		r.live(properties, `{"temp":2}`)
		time.Sleep(time.Hour)
		d, _ := r.b.Thing("pump-1")
		for _, p := range d.Recent {
			if len(p.Text) > 400 {
				t.Errorf("%d bytes are kept of a problem", len(p.Text))
			}
		}
		if n := strings.Count(log.String(), "unlucky"); n == 0 || n > 1000 {
			t.Errorf("the log has %d bytes", log.Len())
		}
	}, func(o *bridge.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

func TestAnEventThatThePlatformDoesNotKnowHoldsUpNothing(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.platform.judge = func(req *alwayson.Request) (*alwayson.Response, error) {
			if req.Characteristic == alwayson.Events {
				return alwayson.Fail(alwayson.NotFound, "no such event"), nil
			}
			return nil, nil
		}
		r.retained(announce, "{}")
		r.live("things/pump-1/events/Alarm", `{}`)
		r.live(properties, `{"temp":1}`)
		r.mustGot("pump-1.temp=1")
		r.mustState("pump-1", bridge.StateReady)
	})
}

func TestInternalErrorsCondemnAValueOnlyWhileOthersGetThrough(t *testing.T) {
	for _, c := range []struct {
		name   string
		others bool
		want   []string
	}{
		{"the platform fails on everything: nothing is dropped", false, []string{"pump-1.temp=0", "pump-1.temp=1", "pump-1.temp=2"}},
		{"it fails on one value alone: that one is dropped", true, []string{"pump-1.temp=0", "pump-1.temp=2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, map[string][]alwayson.Subscription{"pump-1": subs("temp"), "other": subs("v")}, func(r *rig) {
				broken := true
				r.platform.judge = func(req *alwayson.Request) (*alwayson.Response, error) {
					poisoned := !c.others
					for _, v := range valuesOf(req) {
						poisoned = poisoned || v.Name == "temp" && v.Value.Number() == 1
					}
					if broken && poisoned {
						return alwayson.Fail(alwayson.InternalServerError, "oops"), nil
					}
					return nil, nil
				}
				r.platform.down()
				r.retained(announce, "{}")
				r.retained("things/other/announce", "{}")
				for i := range 3 {
					r.live(properties, fmt.Sprintf(`{"temp":%d}`, i))
				}
				r.platform.connect()
				for i := range 200 {
					r.live("things/other/properties", fmt.Sprintf(`{"v":%d}`, i))
					time.Sleep(time.Second)
				}
				r.platform.mu.Lock()
				broken = false
				r.platform.mu.Unlock()
				time.Sleep(time.Minute)
				synctest.Wait()
				got := slices.DeleteFunc(r.platform.got(), func(s string) bool { return strings.HasPrefix(s, "other") })
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestAFailingPlatformIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		resp *alwayson.Response
		err  error
	}{
		{"service unavailable", alwayson.Fail(alwayson.ServiceUnavailable, "busy"), nil},
		{"forbidden", alwayson.Fail(alwayson.Forbidden, "no"), nil},
		{"an internal error that passes", alwayson.Fail(alwayson.InternalServerError, "oops"), nil},
		{"no answer", nil, alwayson.ErrNoAnswer},
		{"too many in flight", nil, alwayson.ErrBusy},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump("temp"), func(r *rig) {
				failures := 2
				r.platform.judge = func(*alwayson.Request) (*alwayson.Response, error) {
					if failures == 0 {
						return nil, nil
					}
					failures--
					return c.resp, c.err
				}
				r.retained(announce, "{}")
				r.live(properties, `{"temp":1}`)
				r.live(properties, `{"temp":2}`)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				r.mustGot("pump-1.temp=1", "pump-1.temp=2")
			})
		})
	}
}

// mustBeAbsentAndThenCreated has pump-1 send a value for which the platform has no
// Thing, and creates it there.
func (r *rig) mustBeAbsentAndThenCreated() {
	r.t.Helper()
	there := false
	r.platform.judge = func(*alwayson.Request) (*alwayson.Response, error) {
		if there {
			return nil, nil
		}
		return alwayson.Fail(alwayson.NotFound, "no such thing"), nil
	}
	r.retained(announce, "{}")
	r.live(properties, `{"temp":1}`)
	r.mustState("pump-1", bridge.StateAbsent)
	there = true
}

func TestAThingThatIsNotThereKeepsItsValues(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.mustBeAbsentAndThenCreated()
		r.platform.jobs.add(func() { r.b.Subscribed("pump-1", subs("temp")) })
		synctest.Wait()
		r.mustGot("pump-1.temp=1")
		r.mustState("pump-1", bridge.StateReady)
	})
}

func TestAThingThatIsCreatedLaterIsBoundAgain(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.mustBeAbsentAndThenCreated()
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		r.mustGot("pump-1.temp=1")
		if got := r.platform.history(); !slices.Equal(got, []string{"want pump-1", "rebind pump-1"}) {
			t.Errorf("the platform was told %q", got)
		}
	})
}

func TestPushesStayUnderTheMessageSize(t *testing.T) {
	bubble(t, pump("text"), func(r *rig) {
		r.platform.maxBody = 2000
		r.platform.down()
		r.retained(announce, "{}")
		for i := range 50 {
			r.live(properties, fmt.Sprintf(`{"text":"%03d%s"}`, i, strings.Repeat("x", 200)))
		}
		r.platform.connect()
		synctest.Wait()
		n := 0
		for _, p := range r.platform.pushes {
			size := alwayson.PushSize("pump-1")
			for _, v := range p.vals {
				size += v.EncodedSize()
				if !strings.HasPrefix(v.Value.Text(), fmt.Sprintf("%03d", n)) {
					t.Fatalf("value %d is out of order: %.10s", n, v.Value.Text())
				}
				n++
			}
			if size > 2000 {
				t.Errorf("a push of %d bytes", size)
			}
		}
		if n != 50 || len(r.platform.pushes) > 15 {
			t.Errorf("%d values in %d pushes, want 50 in few", n, len(r.platform.pushes))
		}
	})
}

func TestARecordLargerThanAPushIsSplit(t *testing.T) {
	bubble(t, pump("a", "b", "c", "d"), func(r *rig) {
		r.platform.maxBody = 400
		r.retained(announce, "{}")
		r.live(properties, fmt.Sprintf(`{"a":"%[1]s","b":"%[1]s","c":"%[1]s","d":"%[1]s"}`, strings.Repeat("y", 150)))
		if got := r.platform.got(); len(got) != 4 || len(r.platform.pushes) < 2 {
			t.Errorf("%d values in %d pushes, want 4 in several", len(got), len(r.platform.pushes))
		}
	})
}
