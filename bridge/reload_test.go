package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// reloader gives a rig other profiles, as a changed configuration does.
type reloader struct {
	*rig
	now *mapping.Profiles
	opt bridge.Options
}

// reloading runs a test with a rig of the profiles in text.
func reloading(t *testing.T, text string, model map[string][]alwayson.Subscription, test func(*reloader), options ...setup) {
	t.Helper()
	r := &reloader{}
	start := func(o *bridge.Options) {
		profile(t, text)(o)
		r.now = o.Engine.Profiles()
	}
	last := func(o *bridge.Options) { r.opt = *o }
	bubble(t, model, func(rig *rig) {
		r.rig = rig
		test(r)
	}, append(append([]setup{start}, options...), last)...)
}

// reload has the Bridge work by the profiles in text, "" by the present ones.
func (r *reloader) reload(text string, options ...setup) bridge.Reloaded {
	r.t.Helper()
	opt := r.opt
	opt.Engine = nil
	if text != "" {
		profile(r.t, text)(&opt)
		profiles := opt.Engine.Profiles()
		if !profiles.Equal(r.now) {
			profiles.Follow(r.now)
			r.now = profiles
			opt.Engine = mapping.NewEngine(profiles, mapping.Options{})
		}
	}
	for _, f := range options {
		f(&opt)
	}
	n := r.b.Reload(opt)
	r.opt = opt
	synctest.Wait()
	return n
}

func (r *reloader) history() string { return strings.Join(r.platform.history(), ", ") }

func (r *reloader) filters() string {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	var list []string
	for f := range r.bus.filters {
		if !strings.HasSuffix(f, "/marker") {
			list = append(list, f)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

const pumps = `
- name: acme
  thing: acme-${id}
  announce: {topic: "acme/{id}/hello", define: payload}
  presence: {topic: "acme/{id}/status"}
  properties: [{topic: "acme/{id}/data", values: payload}]
  services:
    Reset:
      request: {topic: "acme/${id}/reset/${request}", payload: "x"}
      reply: {topic: "acme/{id}/reset/{request}/done", result: payload.result}
`

const valves = `
- name: valve
  thing: valve-${id}
  announce: {topic: "valve/{id}/hello"}
  properties: [{topic: "valve/{id}/data", values: payload}]
`

func model(names ...string) map[string][]alwayson.Subscription {
	m := map[string][]alwayson.Subscription{}
	for _, name := range names {
		m[name] = subs("v", "w")
	}
	return m
}

func TestThingsOfAProfileThatStaysAreNotTouched(t *testing.T) {
	reloading(t, pumps, model("acme-1", "acme-2"), func(r *reloader) {
		r.retained("acme/1/hello", `{"properties":{"v":"NUMBER"}}`)
		r.retained("acme/2/hello", `{}`)
		r.live("acme/2/data", `{"w":5}`)
		r.live("acme/2/status", "offline")
		before := r.history()
		for i, text := range []string{valves + pumps, pumps, pumps + valves, "# said otherwise\n" + strings.ReplaceAll(pumps, `"acme/{id}/data"`, `'acme/{id}/data'`)} {
			if n := r.reload(text); n != (bridge.Reloaded{Same: 2}) {
				t.Errorf("reload %d: %+v", i, n)
			}
		}
		if got := r.history(); got != before {
			t.Errorf("the platform was told: %s\nbefore: %s", got, before)
		}
		if r.mustState("acme-1", bridge.StateReady); r.state("acme-2") != bridge.StateOffline {
			t.Errorf("acme-2 is %s", r.state("acme-2"))
		}
		r.live("acme/1/data", `{"v":1}`)
		r.live("acme/2/status", "online")
		r.live("acme/2/data", `{"w":6}`)
		r.mustGot("acme-2.w=5", "acme-1.v=1", "acme-2.w=6")
		if m := r.b.Metadata("acme-2"); m == nil || len(m.Properties) != 1 || m.Properties[0].Type != alwayson.TypeNumber {
			t.Errorf("what was inferred is forgotten: %+v", m)
		}
	})
}

func TestNewDefinitionsAreBrowsedOnceAndTheRestStays(t *testing.T) {
	more := strings.Replace(pumps, "values: payload}]", "values: {v: {value: payload.v, type: INTEGER}}}]", 1)
	reloading(t, pumps+valves, model("acme-1", "valve-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.retained("valve/1/hello", `{}`)
		if n := r.reload(more + valves); n != (bridge.Reloaded{Same: 1, Rebound: 1}) {
			t.Errorf("%+v", n)
		}
		if got := r.history(); !strings.HasSuffix(got, ", rebind acme-1") || strings.Count(got, "rebind") != 1 {
			t.Errorf("the platform was told: %s", got)
		}
		r.live("acme/1/data", `{"v":2.0,"w":3}`)
		r.mustGot("acme-1.v=2")
	})
}

func TestThingsOfARemovedProfileLeaveAfterTheirValues(t *testing.T) {
	reloading(t, pumps+valves, model("acme-1", "valve-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.retained("valve/1/hello", `{}`)
		r.platform.mu.Lock()
		r.platform.manual = true
		r.platform.mu.Unlock()
		r.live("acme/1/data", `{"v":1}`)
		if n := r.reload(valves); n != (bridge.Reloaded{Same: 1, Left: 1}) {
			t.Errorf("%+v", n)
		}
		r.mustState("acme-1", bridge.StateLeaving)
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.mustState("acme-1", "forgotten")
		r.mustGot("acme-1.v=1")
		if got := r.history(); !strings.HasSuffix(got, "unwant acme-1") {
			t.Errorf("the platform was told: %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.filters(); got != "valve/+/data valve/+/hello" {
			t.Errorf("subscribed: %s", got)
		}
	})
}

func TestWhatIsNewIsSubscribedBeforeTheOldIsLeft(t *testing.T) {
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.reload(strings.ReplaceAll(pumps, "/data", "/values"))
		if got := r.filters(); !strings.Contains(got, "acme/+/values") || !strings.Contains(got, "acme/+/data") {
			t.Errorf("at once: %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.filters(); !strings.Contains(got, "acme/+/values") || strings.Contains(got, "acme/+/data") {
			t.Errorf("later: %s", got)
		}
		r.bus.mu.Lock()
		defer r.bus.mu.Unlock()
		for _, f := range []string{"acme/+/hello", "acme/+/status"} {
			if !slices.Contains(r.bus.refreshed, f) {
				t.Errorf("what is retained under %s is not asked for again: %v", f, r.bus.refreshed)
			}
		}
	})
}

func TestADeviceKeepsItsThingUnderAnotherProfile(t *testing.T) {
	renamed := strings.Replace(pumps, "name: acme\n", "name: acme-mk2\n", 1)
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		r.platform.down()
		r.live("acme/1/data", `{"v":1}`)
		if n := r.reload(renamed); n != (bridge.Reloaded{Same: 0, Rebound: 0}) {
			t.Errorf("%+v", n)
		}
		if d, _ := r.b.Thing("acme-1"); d.Profile != "acme-mk2" {
			t.Errorf("profile %q", d.Profile)
		}
		r.platform.connect()
		r.live("acme/1/data", `{"v":2}`)
		r.mustGot("acme-1.v=1", "acme-1.v=2")
	})
}

func TestADeviceGoesOverToItsNewName(t *testing.T) {
	other := strings.Replace(pumps, "thing: acme-${id}", "thing: pump-${id}", 1)
	reloading(t, pumps, model("acme-1", "pump-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		r.live("acme/1/status", "offline")
		if n := r.reload(other); n != (bridge.Reloaded{Renamed: 1}) {
			t.Errorf("%+v", n)
		}
		r.mustState("acme-1", "forgotten")
		r.mustState("pump-1", bridge.StateOffline)
		r.live("acme/1/status", "online")
		r.live("acme/1/data", `{"v":3}`)
		r.mustGot("pump-1.v=3")
	})
}

func TestCallsEndByTheRulesThatMadeThem(t *testing.T) {
	otherReply := strings.Replace(pumps, "/reset/{request}/done\", result: payload.result", "/answers/{request}\", result: payload.other", 1)
	for name, text := range map[string]string{
		"the profile stays":             valves + pumps,
		"the reply is elsewhere by now": otherReply,
		"the profile has another name":  strings.Replace(pumps, "name: acme\n", "name: other\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			reloading(t, pumps, model("acme-1"), func(r *reloader) {
				r.live("acme/1/hello", `{"services":{"Reset":{"output":"STRING"}}}`)
				requests := make(chan string, 4)
				r.device(func(topic string, _ []byte) { requests <- topic })
				before := r.service("acme-1", "Reset")
				synctest.Wait()
				asked := <-requests
				r.reload(text)
				after := r.service("acme-1", "Reset")
				synctest.Wait()
				again := <-requests
				r.live(asked+"/done", `{"result":"first","other":"wrong"}`)
				if resp := r.answered(before); !resp.Code.IsSuccess() || alwayson.Result(resp.Content, "result").Text() != "first" {
					t.Errorf("the call that was in flight: %s %v", resp.Code, resp.Content)
				}
				if text == otherReply {
					r.live(strings.Replace(again, "/reset/", "/answers/", 1), `{"result":"wrong","other":"second"}`)
				} else {
					r.live(again+"/done", `{"result":"second"}`)
				}
				if resp := r.answered(after); !resp.Code.IsSuccess() || alwayson.Result(resp.Content, "result").Text() != "second" {
					t.Errorf("the call after it: %s %v", resp.Code, resp.Content)
				}
			})
		})
	}
}

func TestACallToAThingThatLeavesEndsAtOnce(t *testing.T) {
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		call := r.service("acme-1", "Reset")
		synctest.Wait()
		r.reload(valves)
		r.mustFail(call, alwayson.ServiceUnavailable, "has left")
	})
}

func TestOneMessageAnswersOneCallThoughTwoRulesHearIt(t *testing.T) {
	serial := strings.Replace(pumps, `"acme/${id}/reset/${request}"`, `"acme/${id}/reset"`, 1)
	serial = strings.Replace(serial, `{topic: "acme/{id}/reset/{request}/done", result: payload.result}`, `{topic: "acme/{id}/done", serial: true, result: payload.result}`, 1)
	changed := strings.Replace(serial, "payload.result", "payload.result + 1", 1)
	reloading(t, serial, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{"services":{"Reset":{"output":"NUMBER"}}}`)
		before := r.service("acme-1", "Reset")
		synctest.Wait()
		r.reload(changed)
		after := r.service("acme-1", "Reset")
		synctest.Wait()
		r.live("acme/1/done", `{"result":1}`)
		r.answered(before)
		if len(after) != 0 {
			t.Fatal("one reply ended two calls")
		}
		r.live("acme/1/done", `{"result":7}`)
		if resp := r.answered(after); string(mapping.AppendJSON(nil, alwayson.Result(resp.Content, "result"))) != "8" {
			t.Errorf("the second call: %v", resp.Content)
		}
	})
}

func TestWhatIsNotAllowedLeavesAndComesBack(t *testing.T) {
	deny := func(names ...string) setup { return func(o *bridge.Options) { o.DenyThings = names } }
	reloading(t, pumps, model("acme-1", "acme-2"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.retained("acme/2/hello", `{}`)
		if n := r.reload("", deny("ACME-1")); n.Left != 1 {
			t.Errorf("%+v", n)
		}
		r.mustState("acme-1", "forgotten")
		r.mustState("acme-2", bridge.StateReady)
		r.retained("acme/1/hello", `{}`)
		r.mustState("acme-1", "forgotten")
		r.reload("", deny())
		r.bus.mu.Lock()
		asked := slices.Contains(r.bus.refreshed, "acme/+/hello")
		r.bus.mu.Unlock()
		if !asked {
			t.Error("the announcements are not asked for again")
		}
		r.retained("acme/1/hello", `{}`)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.mustState("acme-1", bridge.StateReady)
		if got := r.history(); strings.Count(got, "acme-2") != 1 {
			t.Errorf("acme-2 was touched: %s", got)
		}
	})
}

func TestServicesThatAreHiddenAreBrowsedAnew(t *testing.T) {
	reloading(t, pumps+valves, model("acme-1", "valve-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{"services":{"Reset":{}}}`)
		r.retained("valve/1/hello", `{}`)
		r.reload("", func(o *bridge.Options) { o.DenyServices = []string{"Res*"} })
		if got := r.history(); !strings.HasSuffix(got, "rebind acme-1") || strings.Contains(got, "rebind valve-1") {
			t.Errorf("the platform was told: %s", got)
		}
		r.mustFail(r.service("acme-1", "Reset"), alwayson.NotFound, "not offered")
	})
}

func TestNewLimitsCountAtOnce(t *testing.T) {
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		r.reload("", func(o *bridge.Options) { o.Limits.Things, o.Limits.CallsPerThing = 1, 1 })
		r.live("acme/2/hello", `{}`)
		r.mustState("acme-2", "forgotten")
		r.service("acme-1", "Reset")
		r.mustFail(r.service("acme-1", "Reset"), alwayson.ServiceUnavailable, "limits.calls_per_thing")
		r.reload("", func(o *bridge.Options) { o.Limits.Things = 2 })
		r.live("acme/2/hello", `{}`)
		r.mustState("acme-2", bridge.StateBound)
	})
}

func TestADeviceIsNotLeftOfflineWhenNothingSaysOtherwise(t *testing.T) {
	silent := strings.Replace(pumps, "  presence: {topic: \"acme/{id}/status\"}\n", "", 1)
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		r.retained("acme/1/status", "offline")
		r.mustState("acme-1", bridge.StateOffline)
		r.reload(silent)
		r.mustState("acme-1", bridge.StateReady)
	})
}

func TestANewSilenceCounts(t *testing.T) {
	hour := pumps + "  expire_after: 1h\n"
	minute := pumps + "  expire_after: 1m\n"
	reloading(t, hour, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		r.reload(minute)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		r.mustState("acme-1", bridge.StateOffline)
		r.reload(pumps)
		r.mustState("acme-1", bridge.StateReady)
	})
}

func TestARetainedOfflineComesBeforeTheBindAfterAReload(t *testing.T) {
	reloading(t, pumps, model("valve-1", "acme-1"), func(r *reloader) {
		r.retained("acme/1/hello", `{}`)
		time.Sleep(10 * time.Second)
		withPresence := strings.Replace(valves, "  properties:", "  presence: {topic: \"valve/{id}/status\"}\n  properties:", 1)
		r.bus.mu.Lock()
		r.bus.noMarker = true // the broker still sends what it retains
		r.bus.mu.Unlock()
		r.reload(pumps + withPresence)
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		r.retained("valve/1/hello", `{}`)
		if got := r.history(); strings.Contains(got, "valve-1") {
			t.Fatalf("bound before its retained status can have come: %s", got)
		}
		r.retained("valve/1/status", "offline")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := r.history(); strings.Contains(got, "valve-1") || strings.Contains(got, "unwant") {
			t.Errorf("the platform was told: %s", got)
		}
	})
}

func TestAnnouncementsThatWaitGoByTheNewRules(t *testing.T) {
	reloading(t, pumps, nil, func(r *reloader) {
		for i := range 5 {
			r.live(fmt.Sprintf("acme/%d/hello", i), `{}`)
		}
		r.reload(strings.Replace(pumps, "thing: acme-${id}", "thing: pump-${id}", 1))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, s := range r.b.Select(bridge.Selection{}).Things {
			if !strings.HasPrefix(s.Name, "pump-") {
				t.Errorf("%s is registered", s.Name)
			}
		}
		if n := len(r.b.Select(bridge.Selection{}).Things); n != 5 {
			t.Errorf("%d Things, want 5", n)
		}
	}, func(o *bridge.Options) { o.Limits.AnnouncementsPerSecond = 1 })
}

func TestTwoHundredReloadsLeaveNothingBehind(t *testing.T) {
	other := strings.ReplaceAll(pumps, "/data", "/values") + valves
	reloading(t, pumps, model("acme-1"), func(r *reloader) {
		r.live("acme/1/hello", `{}`)
		for i := range 200 {
			r.reload([]string{other, pumps}[i%2])
			r.live([]string{"acme/1/values", "acme/1/data"}[i%2], fmt.Sprintf(`{"v":%d}`, i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.filters(); got != "acme/+/data acme/+/hello acme/+/reset/+/done acme/+/status" {
			t.Errorf("subscribed: %s", got)
		}
		if got := r.platform.got(); len(got) != 200 || got[199] != "acme-1.v=199" {
			t.Errorf("%d values, the last %s", len(got), got[len(got)-1])
		}
		if got := r.history(); got != "want acme-1" {
			t.Errorf("the platform was told: %s", got)
		}
	})
}

func TestATopicStaysItsFirstThingsOverAReload(t *testing.T) {
	const gauges = `- name: gauge
  thing: ${id}
  allow_topics: ["line/#"]
  announce: {topic: "found/{id}", define: '{"properties": {"v": {"type": "NUMBER", "topic": payload.topic}}}'}
`
	reloading(t, gauges, nil, func(r *reloader) {
		r.retained("found/z", `{"topic": "line/1"}`)
		time.Sleep(time.Second)
		r.retained("found/a", `{"topic": "line/1"}`)
		r.reload(strings.Replace(gauges, "line/#", "+/#", 1))
		r.live("line/1", "5")
		a, _ := r.b.Thing("a")
		z, _ := r.b.Thing("z")
		if len(a.Known) != 0 || len(z.Known) != 1 {
			t.Errorf("a has %v, z has %v", a.Known, z.Known)
		}
	})
}

func TestADeviceOfWhichOnlyAnswersAreHeardLeavesAtAReload(t *testing.T) {
	reloading(t, answering, model("plug-1"), func(r *reloader) {
		r.retained("plug/1/online", "true")
		r.live("told/1", "mk1")
		r.mustState("plug-1", bridge.StateReady)
		r.reload(strings.Replace(answering, "plug/{id}", "plant/plug/{id}", 1))
		r.mustState("plug-1", "forgotten")
	})
}
