package bridge_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
	"thingbridge/mapping/sparkplug"
)

const recorder = `
- name: recorder
  thing: ${id}
  announce: {topic: "rec/{id}/hello", define: '{"properties": {"v": "NUMBER"}}'}
  properties:
    - {topic: "rec/{id}/all", each: payload, property: =item.n, value: item.v, history: item.old, quality: item.q, absent: keep}
`

func TestValuesOfThePastLeaveThePresentOne(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"r": subs("v")}, func(r *rig) {
		r.live("rec/r/hello", "{}")
		r.live("rec/r/all", `[{"n": "v", "v": 1, "old": true}]`) // nothing is known yet
		r.live("rec/r/all", `[{"n": "v", "v": 9}]`)
		r.live("rec/r/all", `[{"n": "v", "v": 2, "old": true}, {"n": "v", "v": 3, "old": true}]`)
		r.mustGot("r.v=1", "r.v=9", "r.v=2", "r.v=3", "r.v=9")
		r.live("rec/r/all", `[{"n": "v", "v": 4, "old": true}, {"n": "v", "v": 10}]`)
		if got := r.platform.got(); !slices.Equal(got[5:], []string{"r.v=4", "r.v=9", "r.v=10"}) {
			t.Errorf("%q", got)
		}
		if d, _ := r.b.Thing("r"); len(d.Known) != 1 || string(mapping.AppendJSON(nil, d.Known[0].Value)) != "10" {
			t.Errorf("the last known value is %v", d.Known)
		}
	}, profile(t, recorder))
}

func TestNoValueKeepsTheLastOneWithItsQuality(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"r": subs("v")}, func(r *rig) {
		r.live("rec/r/hello", "{}")
		r.live("rec/r/all", `[{"n": "v", "q": "BAD"}]`) // none to keep
		r.live("rec/r/all", `[{"n": "v", "v": 7}]`)
		r.live("rec/r/all", `[{"n": "v", "q": "BAD"}]`)
		r.mustGot("r.v=7", "r.v=7")
		if d, _ := r.b.Thing("r"); d.Known[0].Quality != "BAD" {
			t.Errorf("%+v", d.Known[0])
		}
	}, profile(t, recorder))
}

func spark(t *testing.T) setup {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: sparkplug-b, with: {reorder_timeout: 2s}}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return func(o *bridge.Options) { o.Engine = mapping.NewEngine(p, mapping.Options{}) }
}

func sparkPayload(t *testing.T, text string) string {
	t.Helper()
	p, err := sparkplug.FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(p.Append(nil))
}

// requests lists what went to edge nodes.
func (r *rig) requests() (list []bridge.Publication) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	for _, p := range r.bus.published {
		if strings.Contains(p.Topic, "CMD/") {
			list = append(list, p)
		}
	}
	return list
}

// A session's time is the keeper's, and what follows happens in its place among
// the messages.
func TestASessionGoesOnWhenItsTimeIsOver(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"g.n": subs("v")}, func(r *rig) {
		say := func(kind, text string) { r.live("spBv1.0/g/"+kind+"/n", sparkPayload(t, text)) }
		say("NBIRTH", `{"seq": 0, "metrics": [{"name": "v", "type": "Int32", "value": 1, "alias": 1}]}`)
		say("NDATA", `{"seq": 2, "metrics": [{"alias": 1, "value": 3}]}`)
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		r.mustGot("g.n.v=1")
		if n := len(r.requests()); n != 0 {
			t.Errorf("%d requests before the time is over", n)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		r.mustGot("g.n.v=1", "g.n.v=3")
		if sent := r.requests(); len(sent) != 1 || sent[0].QoS != 0 || sent[0].Retain || sent[0].Topic != "spBv1.0/g/NCMD/n" {
			t.Errorf("sent %+v", sent)
		}
		say("NDEATH", `{}`)
		r.mustState("g.n", bridge.StateOffline)
	}, spark(t))
}

// An alias is of the connection on which its birth came.
func TestAConnectionThatBreaksEndsWhatBirthsSaid(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"g.n": subs("v")}, func(r *rig) {
		say := func(kind, text string) { r.message("spBv1.0/g/"+kind+"/n", sparkPayload(t, text), false) }
		say("NBIRTH", `{"seq": 0, "metrics": [{"name": "v", "type": "Int32", "value": 1, "alias": 1}]}`)
		say("NDATA", `{"seq": 1, "metrics": [{"alias": 1, "value": 2}]}`)
		r.bus.jobs.add(func() { r.b.BusDown(1, nil) })
		synctest.Wait()
		say("NDATA", `{"seq": 2, "metrics": [{"alias": 1, "value": 3}]}`)
		synctest.Wait()
		r.mustGot("g.n.v=1", "g.n.v=2")
		r.bus.jobs.add(func() { r.b.BusUp(2) })
		synctest.Wait()
		if n := len(r.requests()); n == 0 {
			t.Error("the node was not asked for its births")
		}
	}, spark(t))
}
