package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// parted devices announce themselves in several messages, and their state alone
// says whether they are there.
const parted = `
- name: parted
  thing: ${id}
  announce:
    - {topic: "d/{id}/$name", gather: 500ms, format: text, let: {root: 'split(payload, " of ")[1]'}}
    - {topic: "d/{id}/{p}/$type", gather: 500ms, format: text, define: '{"properties": {(p): {"type": payload, "writable": true}}}'}
  presence:
    - topic: d/{id}/$state
      format: text
      decides: true
      online: payload in ["init", "ready", "asleep"]
      offline: payload in ["lost", "gone"]
      hold: payload == "init"
      asleep: payload == "asleep"
      along: payload == "lost"
    - {parent: device.root}
  queue: 1h
  properties:
    - {topic: "d/{id}/{n}", when: 'not (n startsWith "$") and device != nil', property: =n, value: payload}
  writes:
    "*": {topic: "d/${id}/${property}/set"}
`

func things(names ...string) map[string][]alwayson.Subscription {
	model := map[string][]alwayson.Subscription{}
	for _, n := range names {
		model[n] = subs("v", "w")
	}
	return model
}

func TestADeviceInManyPartsIsAnnouncedOnce(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.retained("d/one/$state", "ready")
		r.retained("d/one/v", "7")
		r.retained("d/one/$name", "x")
		for i := range 100 {
			r.retained(fmt.Sprintf("d/one/p%d/$type", i), "NUMBER")
			time.Sleep(10 * time.Millisecond)
		}
		r.mustState("one", "forgotten")
		time.Sleep(time.Second)
		r.mustState("one", bridge.StateReady)
		d, _ := r.b.Thing("one")
		if got := r.platform.history(); len(got) != 1 || len(d.Definitions.Properties) != 100 {
			t.Errorf("%q, with %d properties", got, len(d.Definitions.Properties))
		}
		r.mustGot("one.v=7")
	}, profile(t, parted))
}

func TestPartsThatKeepComingDoNotKeepADeviceAwayForever(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.retained("d/one/$state", "ready")
		for i := range 60 {
			r.retained("d/one/$name", fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		r.mustState("one", bridge.StateReady)
	}, profile(t, parted))
}

func TestWhereThePresenceDecidesAnAnnouncementAloneBindsNothing(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.live("d/one/$name", "x")
		time.Sleep(10 * time.Second)
		r.mustState("one", bridge.StateOffline)
		r.live("d/one/$state", "ready")
		r.mustState("one", bridge.StateReady)
		r.live("d/one/$state", "lost")
		r.live("d/one/$name", "y")
		time.Sleep(10 * time.Second)
		r.mustState("one", bridge.StateOffline)
	}, profile(t, parted))
}

func TestValuesWaitWhileTheDeviceBeginsThoughItSaidSoBeforeItsAnnouncement(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.live("d/one/$state", "init")
		r.live("d/one/$name", "x")
		time.Sleep(time.Second)
		r.mustState("one", bridge.StateInitial)
		r.live("d/one/v", "1")
		r.mustGot()
		r.live("d/one/$state", "ready")
		r.mustGot("one.v=1")
	}, profile(t, parted))
}

func writeOne(v float64) *alwayson.Request {
	return alwayson.PropertyRequest(alwayson.EntityThing, "one", "v", alwayson.OneRow(alwayson.Named{Name: "v", Value: alwayson.NewNumber(v)}))
}

func TestAWriteWaitsForADeviceThatSaysItSleeps(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.retained("d/one/$state", "asleep")
		r.retained("d/one/$name", "x")
		r.retained("d/one/v/$type", "NUMBER")
		time.Sleep(time.Second)
		before := len(r.bus.sent())
		write := r.request("one", alwayson.Put, writeOne(5))
		r.answered(write)
		r.live("d/one/w", "1") // says something in its sleep
		time.Sleep(time.Minute)
		if n := len(r.bus.sent()); n != before {
			t.Fatalf("%q is sent to a device that sleeps", r.bus.sent())
		}
		r.live("d/one/$state", "ready")
		time.Sleep(time.Second)
		if got := r.bus.sent(); len(got) != before+1 || got[before] != "d/one/v/set 5" {
			t.Fatalf("sent %q", got)
		}
		r.answered(r.request("one", alwayson.Put, writeOne(6)))
		if got := r.bus.sent(); got[len(got)-1] != "d/one/v/set 6" {
			t.Fatalf("a device that is awake got %q", got)
		}
	}, profile(t, parted))
}

func TestAChildGoesWithALostRootAndNotWithOneThatLeft(t *testing.T) {
	bubble(t, things("root", "child"), func(r *rig) {
		for _, name := range []string{"root", "child"} {
			r.retained("d/"+name+"/$state", "ready")
		}
		r.retained("d/child/$name", "child of root")
		r.retained("d/root/$name", "the root")
		time.Sleep(time.Second)
		for _, step := range [][2]string{{"gone", bridge.StateReady}, {"lost", bridge.StateOffline}, {"gone", bridge.StateReady}, {"lost", bridge.StateOffline}, {"init", bridge.StateReady}} {
			r.live("d/root/$state", step[0])
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := r.state("child"); got != step[1] {
				t.Errorf("the root is %s: the child is %s, want %s", step[0], got, step[1])
			}
		}
	}, profile(t, parted))
}

func TestATakenBackPartMakesTheDeviceAnew(t *testing.T) {
	bubble(t, things("one"), func(r *rig) {
		r.retained("d/one/$state", "ready")
		r.retained("d/one/$name", "x")
		r.retained("d/one/v/$type", "NUMBER")
		time.Sleep(time.Second)
		r.live("d/one/v/$type", "")
		time.Sleep(time.Second)
		d, _ := r.b.Thing("one")
		if len(d.Definitions.Properties) != 0 {
			t.Errorf("properties %v", d.Definitions.Properties)
		}
		r.live("d/one/$name", "")
		time.Sleep(10 * time.Second)
		r.mustState("one", "forgotten")
	}, profile(t, parted))
}

// wholes needs two messages to make a device.
type wholes struct{}

func (wholes) DecodeDevice(all []*mapping.DecoderInput) (*mapping.Fragment, error) {
	if len(all) < 2 {
		return nil, &mapping.Pass{Why: "the second half is missing"}
	}
	return &mapping.Fragment{}, nil
}

func TestADeviceThatLacksSomethingIsToldOnlyWhenNothingMoreComes(t *testing.T) {
	bubble(t, things("one", "two"), func(r *rig) {
		r.retained("h/one/a", "1")
		r.retained("h/two/a", "1")
		time.Sleep(20 * time.Second)
		r.retained("h/two/b", "1")
		time.Sleep(time.Second)
		r.mustState("one", "forgotten")
		r.mustState("two", bridge.StateReady)
		if p := r.b.Status().Problems; len(p) != 0 {
			t.Errorf("told too early: %v", p)
		}
		time.Sleep(time.Minute)
		p := r.b.Status().Problems
		if len(p) != 1 || !strings.Contains(p[0].Text, "h/one/a") || !strings.Contains(p[0].Text, "the second half is missing") {
			t.Errorf("problems %v", p)
		}
	}, profile(t, `
- name: wholes
  thing: ${id}
  decoder: wholes
  announce:
    - {topic: "h/{id}/a", gather: 500ms}
    - {topic: "h/{id}/b", gather: 500ms}
`))
}

// What a device lacks is told at once when as many wait to be looked at again as
// there may be Things.
func TestDevicesThatLackSomethingAreFollowedWithinTheLimitOfThings(t *testing.T) {
	bubble(t, things(), func(r *rig) {
		for i := range 5 {
			r.retained(fmt.Sprintf("h/d%d/a", i), "1")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		told := 0
		for _, j := range r.b.Rejections() {
			if j.Reason == string(mapping.ReasonIncomplete) {
				told += j.Count
			}
		}
		if told != 3 {
			t.Errorf("%d are told at once, want 3", told)
		}
	}, profile(t, `
- name: wholes
  thing: ${id}
  decoder: wholes
  announce:
    - {topic: "h/{id}/a", gather: 500ms}
    - {topic: "h/{id}/b", gather: 500ms}
`), func(o *bridge.Options) { o.Limits.Things = 2 })
}

func init() { mapping.RegisterDeviceDecoder("wholes", wholes{}) }
