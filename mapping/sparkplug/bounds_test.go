package sparkplug_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"thingbridge/mapping"
	"thingbridge/mapping/sparkplug"
)

// A node that sends one number again and again, each time with another payload,
// does not have all of it kept.
func TestOneNumberWithManyPayloadsDoesNotWaitWithoutBound(t *testing.T) {
	b := newBench(t, presetEngine(t, "reorder_timeout: 1h")())
	b.say("g/NBIRTH/n", nodeBirth(1))
	for i := range 1000 {
		b.say("g/NDATA/n", object{"seq": 3, "metrics": []any{object{"name": "n", "alias": 1, "datatype": 3, "int": i}}})
	}
	if n := b.got[mapping.Counted{Session: "sparkplug-b", Event: "full"}]; n == 0 {
		t.Errorf("everything was kept: %v", b.got)
	}
	values := 0
	for _, line := range b.out {
		if strings.HasPrefix(line, "g.n.n=") {
			values++
		}
	}
	if values < 900 {
		t.Errorf("%d values of 1000 came out", values)
	}
}

// Names that nobody has any more make room for new ones.
func TestDeadNodesMakeRoomForNewOnes(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	birth := wire(t, object{"seq": 0, "metrics": []any{object{"name": "bdSeq", "datatype": 4, "long": 1}}})
	death := wire(t, object{"metrics": []any{object{"name": "bdSeq", "datatype": 4, "long": 1}}})
	turn := mapping.Turn{Now: b.now}
	say := func(kind, node string, payload []byte) {
		b.s.Message(&mapping.Input{Topic: "spBv1.0/g/" + kind + "/" + node, Payload: payload, Now: b.now}, &turn)
		turn.Steps = nil
	}
	for i := range 10_000 {
		node := fmt.Sprintf("n%d", i)
		say("NBIRTH", node, birth)
		if i > 0 {
			say("NDEATH", node, death)
		}
	}
	b.now = b.now.Add(time.Hour)
	turn.Now = b.now
	full := mapping.Counted{Session: "sparkplug-b", Event: "full"}
	for i := range 20_000 {
		node := fmt.Sprintf("m%d", i)
		say("NBIRTH", node, birth)
		say("NDEATH", node, death)
		if b.now = b.now.Add(time.Second); turn.Count[full] > 0 {
			t.Fatalf("node %d is refused, though one lives", i)
		}
		turn.Now = b.now
	}
	say("NDEATH", "n0", death)
	if n := turn.Count[mapping.Counted{Session: "sparkplug-b", Event: "death_unknown"}]; n != 0 {
		t.Errorf("the node that lives was forgotten")
	}
}

// Many metrics that no birth lists cost one look at the births, not one each.
func TestMetricsOfNoBirthAreTakenOnceUnderTheirNames(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NBIRTH/n", object{"seq": 0, "metrics": []any{object{"name": "a/b", "datatype": 3, "int": 1}}})
	b.out = nil
	b.say("g/NDATA/n", object{"seq": 1, "metrics": []any{
		object{"name": "c", "datatype": 3, "int": 2}, object{"name": "a_b", "datatype": 3, "int": 3}, object{"name": "d", "datatype": 3, "int": 4}}})
	b.want("g.n.c=2", "g.n.d=4", "sent spBv1.0/g/NCMD/n")
}

// A birth may list one name again and again, each time with another alias.
func TestThereAreNoMoreAliasesThanNames(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NBIRTH/n", nodeBirth(1))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range uint64(100) {
		p := sparkplug.Payload{Metrics: make([]sparkplug.Metric, 9000)}
		for j := range p.Metrics {
			alias := 100_000 + 10_000*i + uint64(j)
			p.Metrics[j] = sparkplug.Metric{Name: "v", Alias: &alias, Type: sparkplug.Int32}
		}
		turn := mapping.Turn{Now: b.now}
		b.s.Message(&mapping.Input{Topic: fmt.Sprintf("spBv1.0/g/DBIRTH/n/d%d", i), Payload: p.Append(nil), Now: b.now}, &turn)
	}
	if grown := (heap() - before) >> 20; grown > 10 {
		t.Errorf("100 devices with one metric each take %d MiB", grown)
	}
	runtime.KeepAlive(b)
}

func TestOfANameThatABirthListsTwiceTheLastAliasCounts(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NBIRTH/n", object{"seq": 0, "metrics": []any{
		object{"name": "a", "alias": 1, "datatype": 3, "int": 1}, object{"name": "a", "alias": 2, "datatype": 3, "int": 1},
		object{"name": "b", "alias": 3, "datatype": 3, "int": 1}, object{"name": "c", "alias": 3, "datatype": 3, "int": 1}}})
	b.out = nil
	b.say("g/NDATA/n", object{"seq": 1, "metrics": []any{object{"alias": 2, "int": 5}, object{"alias": 3, "int": 6}}})
	b.want("g.n.a=5", "g.n.c=6")
}

func TestNamesThatNoThingCanHaveAreNotRemembered(t *testing.T) {
	b := newBench(t, presetEngine(t)())
	b.say("g/NDATA/"+strings.Repeat("n", 1021), object{"seq": 1, "metrics": []any{object{"alias": 1, "int": 1}}})
	b.want("rejected malformed")
}
