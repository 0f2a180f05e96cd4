package mapping_test

import (
	"testing"

	"thingbridge/mapping"
)

const named = `profiles: [{name: p, thing: '${id}', announce: 'x/{id}/hello',
  properties: [{topic: 'x/{id}/m/{kind}', each: toPairs(payload), property: '=kind + "_" + item[0]', from: '[kind, item[0]]', value: 'item[1]', type: NUMBER}]}]`

// values counts what a message gives and what of it is refused as another's.
func values(e *mapping.Engine, topic, payload string) (taken, foreign int) {
	for _, eff := range e.Handle(in(topic, payload), nil) {
		switch eff := eff.(type) {
		case *mapping.Values:
			taken += len(eff.Values)
		case *mapping.Rejected:
			if eff.Reason == mapping.ReasonIdentity {
				foreign++
			}
		}
	}
	return taken, foreign
}

// What made a name keeps it over a restart and a reload.
func TestWhatMadeANameFirstIsRemembered(t *testing.T) {
	first := engine(t, named)
	put(t, first, "x/d/hello", "{}")
	if taken, _ := values(first, "x/d/m/a", `{"b_c": 1}`); taken != 1 {
		t.Fatalf("%d values", taken)
	}
	data, err := first.Save("d")
	if err != nil {
		t.Fatal(err)
	}
	restarted, reloaded := engine(t, named), engine(t, named)
	d, err := restarted.Restore(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.Put(d); err != nil {
		t.Fatal(err)
	}
	put(t, reloaded, "x/d/hello", "{}")
	reloaded.TakeOver(first, "d", "d")
	for name, e := range map[string]*mapping.Engine{"the same": first, "restarted": restarted, "reloaded": reloaded} {
		if taken, foreign := values(e, "x/d/m/a_b", `{"c": 2}`); taken != 0 || foreign != 1 {
			t.Errorf("%s: %d values taken of another measurement, %d refused", name, taken, foreign)
		}
		if taken, foreign := values(e, "x/d/m/a", `{"b_c": 3}`); taken != 1 || foreign != 0 {
			t.Errorf("%s: %d values taken of the first, %d refused", name, taken, foreign)
		}
	}
}
