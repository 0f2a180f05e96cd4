package sparkplug_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// presetEngine gives a maker of Engines of the preset.
func presetEngine(t testing.TB, with ...string) func() *mapping.Engine {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: sparkplug-b, with: {"+strings.Join(with, ", ")+"}}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return func() *mapping.Engine { return mapping.NewEngine(p, mapping.Options{}) }
}

// bench is a session with its Engine, as a bridge has them.
type bench struct {
	t   testing.TB
	e   *mapping.Engine
	s   *mapping.Sessions
	now time.Time
	out []string
	got map[mapping.Counted]int
}

func newBench(t testing.TB, e *mapping.Engine) *bench {
	return &bench{t: t, e: e, s: e.Sessions(), now: time.UnixMilli(1767323045000), got: map[mapping.Counted]int{}}
}

func (b *bench) say(topic string, o object) {
	b.t.Helper()
	turn := mapping.Turn{Now: b.now}
	if !b.s.Message(&mapping.Input{Topic: "spBv1.0/" + topic, Payload: wire(b.t, o), Now: b.now}, &turn) {
		b.t.Fatalf("nobody takes %s", topic)
	}
	b.take(&turn)
}

func (b *bench) take(turn *mapping.Turn) {
	b.t.Helper()
	for _, step := range turn.Steps {
		effects := []mapping.Effect{step.Effect}
		if step.Input != nil {
			effects = b.e.Handle(step.Input, nil)
		}
		for _, eff := range effects {
			switch eff := eff.(type) {
			case *mapping.Announced:
				if _, err := b.e.Put(eff.Device); err != nil {
					b.t.Fatal(err)
				}
				b.out = append(b.out, "announced "+eff.Device.Thing)
			case *mapping.Values:
				for _, v := range eff.Values {
					b.out = append(b.out, fmt.Sprintf("%s.%s=%s", eff.Thing, v.Name, mapping.AppendJSON(nil, v.Value)))
				}
			case *mapping.Presence:
				b.out = append(b.out, fmt.Sprintf("%s online=%v", eff.Thing, eff.Online))
			case *mapping.Rejected:
				b.out = append(b.out, "rejected "+string(eff.Reason))
			}
		}
	}
	for _, q := range turn.Send {
		b.out = append(b.out, "sent "+q.Topic)
	}
	for what, n := range turn.Count {
		b.got[what] += n
	}
}

func (b *bench) want(lines ...string) {
	b.t.Helper()
	if got := strings.Join(b.out, "\n"); got != strings.Join(lines, "\n") {
		b.t.Errorf("got\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
	b.out = nil
}

func nodeBirth(bdSeq int) object {
	return object{"seq": 0, "metrics": []any{object{"name": "bdSeq", "datatype": 4, "long": bdSeq}, object{"name": "n", "alias": 1, "datatype": 3, "int": 1}}}
}

func deviceBirth(seq, alias int) object {
	return object{"seq": seq, "metrics": []any{object{"name": "v", "alias": alias, "datatype": 3, "int": 1}}}
}

func TestARestartedBridgeKnowsItsDevicesAndNoNumbers(t *testing.T) {
	make := presetEngine(t)
	before := newBench(t, make())
	before.say("g/NBIRTH/n", nodeBirth(4))
	before.say("g/DBIRTH/n/d", deviceBirth(1, 2))
	e := make()
	for _, d := range before.e.Devices() {
		saved, err := before.e.Save(d.Thing)
		if err != nil {
			t.Fatal(err)
		}
		restored, err := e.Restore(saved)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Put(restored); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, e)
	b.say("g/DDATA/n/d", object{"seq": 77, "metrics": []any{object{"name": "v", "int": 5}, object{"alias": 2, "int": 6}}})
	b.want("rejected identity", "g.n.d.v=5", "sent spBv1.0/g/NCMD/n")
	b.say("g/NDEATH/n", object{"metrics": []any{object{"name": "bdSeq", "datatype": 4, "long": 5}}}) // of a birth that was missed
	b.want("g.n online=false", "g.n.d online=false")
	b.say("g/NBIRTH/n", nodeBirth(6))
	b.say("g/DBIRTH/n/d", deviceBirth(1, 3))
	b.say("g/DDATA/n/d", object{"seq": 2, "metrics": []any{object{"alias": 3, "int": 7}}})
	b.want("announced g.n", "g.n.n=1", "announced g.n.d", "g.n.d.v=1", "g.n.d.v=7")
}

func TestABirthThatSaysNothingNewIsNoNewAnnouncement(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	for i := range 3 {
		birth := nodeBirth(i)
		birth["timestamp"] = 1767323045000 + i
		b.say("g/NBIRTH/n", birth)
		b.say("g/DBIRTH/n/d", deviceBirth(1, 10+i))
	}
	first := b.e.Device("g.n.d")
	b.say("g/DBIRTH/n/d", deviceBirth(2, 50))
	if b.e.Device("g.n.d") != first {
		t.Error("a birth with other aliases made another device")
	}
	birth := deviceBirth(3, 50)
	birth["metrics"].([]any)[0].(object)["datatype"] = 9
	b.say("g/DBIRTH/n/d", birth)
	if b.e.Device("g.n.d") == first {
		t.Error("a birth with another data type made no other device")
	}
}

func TestPackedPayloadsAreUnpacked(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NBIRTH/n", nodeBirth(1))
	b.out = nil
	turn := mapping.Turn{Now: b.now}
	inner := wire(t, object{"seq": 1, "metrics": []any{object{"alias": 1, "int": 42}}})
	b.s.Message(&mapping.Input{Topic: "spBv1.0/g/NDATA/n", Payload: packed(t, inner), Now: b.now}, &turn)
	b.take(&turn)
	b.want("g.n.n=42")
}

func TestAnAliasIsItsDevicesOwn(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NBIRTH/n", nodeBirth(1))
	b.say("g/DBIRTH/n/d", deviceBirth(1, 2))
	b.say("g/DBIRTH/n/e", deviceBirth(2, 3))
	b.out = nil
	b.say("g/DDATA/n/d", object{"seq": 3, "metrics": []any{object{"alias": 3, "int": 9}}})
	b.want("rejected identity", "sent spBv1.0/g/NCMD/n")
}

func TestParametersThatCannotBeUsedAreTold(t *testing.T) {
	for with, want := range map[string]string{
		"uint64: LONG":               "uint64 \"LONG\": expected STRING (exact) or NUMBER",
		"reorder_timeout: 2":         "with.reorder_timeout",
		"reorder_timeout: -1s":       "reorder_timeout \"-1s\": expected a duration with its unit, from 0s to 1h",
		"rebirth_interval: 0s":       "rebirth_interval \"0s\": expected a duration with its unit, from 1s to 1h",
		"namespace: a/b":             "namespace \"a/b\": expected one level of a topic",
		"host_id: a+b":               "a+b",
		"host_id: \"a#\", prefix: x": "a#",
	} {
		var list yaml.Node
		if err := yaml.Unmarshal([]byte("[{preset: sparkplug-b, with: {"+with+"}}]"), &list); err != nil {
			t.Fatal(err)
		}
		p, problems := mapping.Load(&list, "test.yaml", presets.Open)
		if p != nil || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v\nwant %q", with, problems, want)
		}
	}
}

// A node that says nothing that can be used costs little: what is kept of it is bounded.
func TestNodesThatAreNotKnownAreAskedOnceInAWhile(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	for i := range 25_000 {
		b.say(fmt.Sprintf("g/NDATA/n%d", i%12_000), object{"seq": 1})
	}
	if n := b.got[mapping.Counted{Session: "sparkplug-b", Event: "rebirth_request"}]; n < 12_000 || n > 25_000 {
		t.Errorf("%d requests", n)
	}
	b.now = b.now.Add(time.Second)
	b.out, b.got = nil, map[mapping.Counted]int{}
	for range 100 {
		b.say("h/NDATA/n", object{"seq": 1})
	}
	if n := b.got[mapping.Counted{Session: "sparkplug-b", Event: "rebirth_request"}]; n != 1 {
		t.Errorf("%d requests within the interval", n)
	}
}

func BenchmarkDataOfTwentyMetrics(b *testing.B) {
	rig := newBench(b, presetEngine(b)())
	var births, values []any
	for i := range 20 {
		births = append(births, object{"name": fmt.Sprintf("Group/Metric %d", i), "alias": i, "datatype": 10, "double": 1.5})
		values = append(values, object{"alias": i, "double": 2.5, "timestamp": 1767323045000})
	}
	rig.say("g/NBIRTH/n", object{"seq": 0, "metrics": births})
	in := mapping.Input{Topic: "spBv1.0/g/NDATA/n", Payload: wire(b, object{"metrics": values}), Now: rig.now}
	b.ReportAllocs()
	for b.Loop() {
		turn := mapping.Turn{Now: rig.now}
		rig.s.Message(&in, &turn)
		for _, step := range turn.Steps {
			rig.e.Handle(step.Input, nil)
		}
	}
}
