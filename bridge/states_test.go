package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

// again runs a bridge anew that knows the device one, with a bound Thing.
func again(t *testing.T, with ...setup) *rig {
	t.Helper()
	r := newRig(t, things("one"), append(with, profile(t, parted))...)
	r.platform.connect()
	synctest.Wait()
	return r
}

// begun runs a bridge until it knows the device one, which says its state.
func begun(t *testing.T, state string, with ...setup) {
	t.Helper()
	r := again(t, with...)
	r.bus.jobs.add(func() { r.b.BusUp(1) })
	r.retained("d/one/$name", "x")
	r.retained("d/one/v/$type", "NUMBER")
	r.live("d/one/$state", state)
	time.Sleep(10 * time.Second)
	if got := r.state("one"); got == "forgotten" || got == bridge.StateOffline {
		t.Fatalf("the device is %s", got)
	}
	r.stop()
}

func TestADeviceThatIsInitialisingIsStillThatAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := keepIn(store.NewMemory())
		begun(t, "init", kept)
		r := again(t, kept)
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		r.retained("d/one/$name", "x")
		r.retained("d/one/v/$type", "NUMBER")
		r.live("d/one/v", "1")
		time.Sleep(time.Minute)
		r.mustState("one", bridge.StateInitial)
		r.mustGot()
		r.live("d/one/$state", "ready")
		r.mustGot("one.v=1")
	})
}

func TestWhatIsRetainedWaitsForAStateThatMayBeOnItsWay(t *testing.T) {
	for _, c := range []struct {
		name     string
		noMarker bool
		state    string // what the broker retains of it; "": nothing
		got      []string
	}{
		{"the device is initialising", false, "init", nil},
		{"the device is ready", false, "ready", []string{"one.v=1"}},
		{"the broker retains no state", false, "", []string{"one.v=1"}},
		{"the broker lets no marker through and retains no state", true, "", []string{"one.v=1"}},
	} {
		values := func(r *rig) {
			r.retained("d/one/v", "1")
			r.retained("d/one/$name", "x")
			r.retained("d/one/v/$type", "NUMBER")
			time.Sleep(time.Second)
			r.mustGot()
			if c.state != "" {
				r.retained("d/one/$state", c.state)
			}
			r.bus.jobs.add(func() { r.b.BusUp(2) })
			time.Sleep(10 * time.Second)
			r.mustGot(c.got...)
			r.live("d/one/$state", "ready")
			r.mustGot("one.v=1")
		}
		quiet := func(r *rig) {
			r.bus.mu.Lock()
			r.bus.noMarker = c.noMarker
			r.bus.mu.Unlock()
		}
		t.Run(c.name+", the bridge restarts", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := keepIn(store.NewMemory())
				begun(t, "ready", kept)
				r := again(t, kept)
				defer r.stop()
				quiet(r)
				values(r)
			})
		})
		t.Run(c.name+", the broker was away", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := again(t)
				defer r.stop()
				r.bus.jobs.add(func() { r.b.BusUp(1) })
				r.retained("d/one/$name", "x")
				r.retained("d/one/v/$type", "NUMBER")
				r.live("d/one/$state", "ready")
				time.Sleep(10 * time.Second)
				r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
				quiet(r)
				values(r)
			})
		})
	}
}

func TestADeviceThatSleepsStillDoesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := keepIn(store.NewMemory())
		begun(t, "asleep", kept)
		r := again(t, kept)
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		r.retained("d/one/$name", "x")
		r.retained("d/one/v/$type", "NUMBER")
		answer := r.request("one", alwayson.Put, writeOne(5))
		if resp := r.answered(answer); resp.Code != alwayson.Success {
			t.Errorf("the write is answered %v", resp)
		}
		if n := r.sentTo("d/one/v/set"); n != 0 {
			t.Fatalf("%d writes were sent to a device that sleeps", n)
		}
		r.live("d/one/$state", "ready")
		if n := r.sentTo("d/one/v/set"); n != 1 {
			t.Errorf("%d writes were sent when it woke, want 1", n)
		}
	})
}

// sentTo counts what was published on a topic.
func (r *rig) sentTo(topic string) (n int) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	for _, p := range r.bus.published {
		if p.Topic == topic {
			n++
		}
	}
	return n
}
