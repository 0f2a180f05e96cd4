package bridge_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

// late runs a test with the sleeping device d, whose broker confirms only when it is
// told to, and the metrics.
func late(t *testing.T, test func(*reloader, *bed)) {
	t.Helper()
	b := &bed{t: t, metrics: prometheus.NewRegistry()}
	reloading(t, drowsy, drowsyModel, func(r *reloader) {
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		r.bus.mu.Lock()
		r.bus.slow = true
		r.bus.mu.Unlock()
		test(r, b)
	}, func(o *bridge.Options) { o.Registerer = b.metrics })
}

// awake has the device show itself.
func (r *rig) awake() { r.live("s/d/data", `{"v":1}`) }

// mustBeOver says that nothing is promised any more, and that showing itself gets the
// device nothing.
func (r *rig) mustBeOver(b *bed) {
	r.t.Helper()
	before := len(r.bus.sent())
	time.Sleep(time.Minute)
	r.awake()
	if sent := r.bus.sent()[before:]; len(sent) > 0 {
		r.t.Errorf("made again: %q", sent)
	}
	if n := b.sample("thingbridge_promised_writes"); n != 0 {
		r.t.Errorf("%v writes are promised", n)
	}
}

func TestAPromisedWriteThatALaterOneOvertookIsNotMadeAgain(t *testing.T) {
	ended := func(t *testing.T, b *bed, outcome string, want float64) {
		t.Helper()
		if n := b.sample("thingbridge_calls_total", "write", outcome); n != want {
			t.Errorf("%v writes ended as %s, want %v", n, outcome, want)
		}
	}
	t.Run("while it is under way", func(t *testing.T) {
		late(t, func(r *reloader, b *bed) {
			r.mustWrite("d", num1("level", 1))
			r.awake()
			direct := r.write("d", num1("level", 2))
			synctest.Wait()
			r.mustSend("s/d/set 1", "s/d/set 2")
			r.bus.confirm(1, nil)
			if resp := r.answered(direct); resp.Code != alwayson.Success {
				t.Errorf("the later write: %s", resp.Code)
			}
			r.bus.confirm(0, bridge.ErrBusDown)
			ended(t, b, "superseded", 1)
			r.mustBeOver(b)
		})
	})
	t.Run("while it waits to be made again", func(t *testing.T) {
		late(t, func(r *reloader, b *bed) {
			r.mustWrite("d", num1("level", 1))
			r.mustWrite("d", mode("eco"))
			r.awake()
			r.write("d", num1("level", 2))
			synctest.Wait()
			r.bus.confirm(0, bridge.ErrBusDown)
			r.bus.confirm(1, bridge.ErrBusDown)
			r.bus.confirm(2, nil)
			ended(t, b, "superseded", 1)
			time.Sleep(time.Minute)
			r.awake() // the other property's is made again
			r.mustSend("s/d/set 1", "s/d/mode eco", "s/d/set 2", "s/d/mode eco")
		})
	})
	t.Run("by one that is promised", func(t *testing.T) {
		late(t, func(r *reloader, b *bed) {
			r.mustWrite("d", num1("level", 1))
			r.awake()
			time.Sleep(6 * time.Second)
			r.mustWrite("d", num1("level", 2)) // the device sleeps again
			r.bus.confirm(0, bridge.ErrBusDown)
			ended(t, b, "superseded", 1)
			r.awake()
			r.mustSend("s/d/set 1", "s/d/set 2")
			r.bus.confirm(1, nil)
			ended(t, b, "ok", 1)
			r.mustBeOver(b)
		})
	})
}

func TestAnEarlierWriteThatEndsLateLeavesALaterPromiseAlone(t *testing.T) {
	late(t, func(r *reloader, b *bed) {
		r.awake()
		r.write("d", num1("level", 1))
		time.Sleep(6 * time.Second)
		r.mustWrite("d", num1("level", 2)) // promised: the device sleeps again
		r.bus.confirm(0, nil)
		r.awake()
		r.mustSend("s/d/set 1", "s/d/set 2")
		r.bus.confirm(1, nil)
		r.mustBeOver(b)
	})
}

func TestAPromisedWriteIsNotMadeAgainForAThingThatLeftMeanwhile(t *testing.T) {
	late(t, func(r *reloader, b *bed) {
		r.mustWrite("d", num1("level", 1))
		r.awake()
		r.live("s/d/hello", "")
		time.Sleep(time.Minute)
		r.mustState("d", "forgotten")
		r.bus.confirm(0, bridge.ErrBusDown)
		if n := b.dropped("left"); n != 1 {
			t.Errorf("%v were dropped since the Thing left, want 1", n)
		}
		r.live("s/d/hello", "{}")
		r.mustBeOver(b)
	})
}

// Whoever is promised a write by one rule may have it made by another, which asks for an answer.
func TestWhatADeviceSaysOfAPromisedWriteEndsIt(t *testing.T) {
	asks := strings.Replace(drowsy, `"s/${id}/set", payload: "${value}"}`,
		`"s/${id}/set", payload: "${value}", reply: {topic: "s/{id}/said", serial: true, error: payload.error}}`, 1)
	for name, c := range map[string]struct {
		wait   time.Duration // until the device shows itself
		said   string        // by the device; "" nothing
		reason string        // why it came to nothing
		again  bool          // it is made again
	}{
		"it is done":           {time.Minute, `{}`, "", false},
		"it is refused":        {time.Minute, `{"error": "too hot"}`, "refused", false},
		"silence":              {time.Minute, "", "", true},
		"silence to the end":   {59*time.Minute + 55*time.Second, "", "expired", false},
		"an error of the last": {59*time.Minute + 55*time.Second, `{"error": "too hot"}`, "refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bed{t: t, metrics: prometheus.NewRegistry()}
			reloading(t, drowsy, drowsyModel, func(r *reloader) {
				r.live("s/d/hello", "{}")
				time.Sleep(time.Minute)
				r.mustWrite("d", num1("level", 1))
				r.reload(asks)
				time.Sleep(c.wait)
				r.awake()
				if c.said != "" {
					r.live("s/d/said", c.said)
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				for _, reason := range []string{"refused", "expired", "left", "unfit"} {
					want := 0.0
					if reason == c.reason {
						want = 1
					}
					if n := b.dropped(reason); n != want {
						t.Errorf("%v are dropped as %s, want %v", n, reason, want)
					}
				}
				if c.reason == "refused" && !r.troubled("d", "(refused): too hot") {
					t.Error("the Thing does not show what its device said")
				}
				if !c.again {
					r.mustSend("s/d/set 1")
					r.mustBeOver(b)
					return
				}
				r.awake()
				r.mustSend("s/d/set 1", "s/d/set 1")
			}, func(o *bridge.Options) { o.Registerer = b.metrics })
		})
	}
}

// slowDisk is a Store that writes only when it is told to.
type slowDisk struct {
	*store.Store
	slow chan struct{} // nil: it is not slow
}

func (s *slowDisk) Sync() error {
	if s.slow != nil {
		<-s.slow
	}
	return s.Store.Sync()
}

func TestAWriteWhoseDeviceShowsItselfWhileItIsBeingKeptIsMadeOnce(t *testing.T) {
	disk := &slowDisk{Store: store.NewMemory()}
	bubble(t, drowsyModel, func(r *rig) {
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		disk.slow = make(chan struct{})
		answer := r.write("d", num1("level", 1))
		synctest.Wait()
		r.message("s/d/data", `{"v":1}`, false)
		synctest.Wait()
		close(disk.slow)
		if resp := r.answered(answer); resp.Code != alwayson.Success {
			t.Fatalf("%s %s", resp.Code, resp.Reason)
		}
		r.mustSend("s/d/set 1")
		time.Sleep(time.Minute)
		r.awake()
		r.mustSend("s/d/set 1")
		noneKept(t, disk.Store)
	}, profile(t, drowsy), keepIn(disk))
}

// noneKept says that no promise would be made after a restart.
func noneKept(t *testing.T, kept *store.Store) {
	t.Helper()
	if err := kept.LoadWrites(func(id uint64, _ []byte) error { t.Errorf("promise %d is still kept", id); return nil }); err != nil {
		t.Error(err)
	}
}
