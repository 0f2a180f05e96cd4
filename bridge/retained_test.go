package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/outbox"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

func TestRetainedValueUnchangedSinceBeforeARestartIsNotPushedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		with := func(o *bridge.Options) { o.Store = kept }
		first := newRig(t, pump("temp", "flow"), with)
		first.platform.connect()
		first.live(announce, `{}`)
		first.live(properties+"/temp", `1`)
		first.live(properties+"/flow", `1`)
		first.stop()
		second := newRig(t, pump("temp", "flow"), with)
		defer second.stop()
		second.platform.connect()
		second.retained(properties+"/temp", `1`)
		second.retained(properties+"/flow", `2`)
		second.mustGot("pump-1.flow=2")
		if second.acks(properties+"/temp", "1") != 1 {
			t.Error("not acknowledged")
		}
		second.live(properties+"/temp", `1`)
		second.mustGot("pump-1.flow=2", "pump-1.temp=1")
		resp := second.answered(second.request("pump-1", alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "temp", nil)))
		if v := alwayson.Result(resp.Content, "temp"); v.Number() != 1 {
			t.Errorf("a read gives %v", v)
		}
	})
}

// The platform has 1, and 2 waits for it over a restart, when the device goes back
// to 1: the 1 that is retained is not what the platform will have.
func TestARetainedValueIsNoOldOneWhileAnotherWaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool // the retained value comes before the one that waits is pushed
	}{{"it comes first", true}, {"it comes after what waited", false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box, err := outbox.NewMemory(outbox.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer box.Close()
				kept := store.NewMemory()
				with := func(o *bridge.Options) { o.Store, o.Outbox = kept, box }
				first := newRig(t, pump("temp"), with)
				first.platform.connect()
				first.live(announce, `{}`)
				first.live(properties+"/temp", `1`)
				first.mustGot("pump-1.temp=1")
				first.stop()
				away := newRig(t, pump("temp"), with) // the platform is
				away.live(properties+"/temp", `2`)
				away.stop()
				again := newRig(t, pump("temp"), with)
				defer again.stop()
				if c.before {
					again.retained(properties+"/temp", `1`)
				}
				again.platform.connect()
				time.Sleep(time.Second)
				if !c.before {
					again.retained(properties+"/temp", `1`)
				}
				again.mustGot("pump-1.temp=2", "pump-1.temp=1")
			})
		})
	}
}
