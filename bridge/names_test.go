package bridge_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"thingbridge/bridge"
)

func TestANameIsHeldByOneAlone(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{"identifier":"SN1"}`)
		for _, c := range []struct{ name, want string }{
			{"*sn1", `platform name "*sn1" is taken by the device of thing "pump-1" (things/pump-1/announce)`},
			{"pump-1", `is taken by the device of thing "pump-1"`},
			{"secret-1", "not allowed by allow.things and deny.things"},
			{"a/b", `"a/b" is not a name that ThingWorx accepts`},
			{"", "is not a name that ThingWorx accepts"},
			{"agent-1", ""},
			{"Agent-1", `platform name "Agent-1" is taken by the edge thing agent-1`},
			{"*a/b", ""},
		} {
			err := r.b.Reserve(c.name, "the edge thing "+c.name)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("reserve %q: %v, want %q", c.name, err, c.want)
			}
		}
	}, func(o *bridge.Options) { o.DenyThings = []string{"secret-*"} })
}

func TestADeviceRefusedForAReservedNameGetsItWhenItIsReleased(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		for _, name := range []string{"pump-1", "*SN7"} {
			if err := r.b.Reserve(name, "an edge thing"); err != nil {
				t.Fatal(err)
			}
		}
		r.retained("things/PUMP-1/announce", `{}`)
		r.retained("things/pump-2/announce", `{"identifier":"sn7"}`)
		r.mustState("PUMP-1", "forgotten")
		r.mustState("pump-2", "forgotten")
		if why := r.b.Status().Clashes["pump-2"]; !strings.Contains(why, `platform name "*sn7" of thing "pump-2" (things/pump-2/announce) is taken by an edge thing`) {
			t.Errorf("clash is told as %q", why)
		}
		r.b.Release("Pump-1") // not the name that is held
		r.b.Release("pump-1")
		r.b.Release("*SN7")
		synctest.Wait()
		if r.state("PUMP-1") == "forgotten" || r.state("pump-2") == "forgotten" {
			t.Errorf("states are %s and %s", r.state("PUMP-1"), r.state("pump-2"))
		}
	})
}
