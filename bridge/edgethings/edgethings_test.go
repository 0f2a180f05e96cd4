package edgethings_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/devicesim"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

func TestAnAgentRegistersAndIsCalled(t *testing.T) {
	for _, opt := range []devicesim.AgentOptions{
		{Name: "agent-1"},
		{Name: "*SN-7", Path: "/"},
		{Name: "agent-1", User: "bridge", Password: "p:ss \"word\""},
		{Name: "agent-1", CSRF: true},
		{Name: "agent-1", CSRF: true, User: "bridge", Password: "pass"},
	} {
		t.Run(fmt.Sprintf("%s under %q, user %q, CSRF %v", opt.Name, opt.Path, opt.User, opt.CSRF), func(t *testing.T) {
			r := newRig(t)
			if opt.Path == "/" {
				opt.Path = "/agent" // a path of its own
			}
			a, end := r.agent(opt)
			thing := opt.Name
			r.waitWanted(thing, true)
			mustBe(t, r.call(thing, "Add", number("a", 2), number("b", 0.5)), `"rows":[{"result":2.5}]`)
			mustBe(t, r.call(thing, "Echo", text("text", "grün \"1\"")), `"rows":[{"result":"grün \"1\""}]`)
			mustBe(t, r.call(thing, "Table"), `"rows":[{"n":1,"text":"one"},{"n":2,"text":"two"}]`)
			mustBe(t, r.call(thing, "Wait", number("ms", 1)), "null")
			mustFail(t, r.call(thing, "Fail"), alwayson.InternalServerError, "the pump is stuck")
			mustFail(t, r.call(thing, "Explode"), alwayson.NotFound, `there is no service "Explode"`)
			mustBe(t, r.get(thing, "setpoint"), `"rows":[{"setpoint":21.5}]`)
			mustFail(t, r.get(thing, "nothing"), alwayson.NotFound, "there is no property nothing")
			mustBe(t, r.get(thing, ""), `"rows":[{"label":"an agent","setpoint":21.5,"temperature":20}]`)
			mustBe(t, r.put(thing, "setpoint", number("setpoint", 30)), "null")
			mustBe(t, r.put(thing, "*", number("setpoint", 31), text("label", "x")), "null")
			mustBe(t, r.put(thing, "label", alwayson.Named{Name: "_content_", Value: alwayson.NewText(alwayson.TypeJSON, `{"label":"y"}`)}), "null")
			mustFail(t, r.put(thing, "temperature", number("temperature", 30)), alwayson.Forbidden, "cannot be set")
			mustFail(t, r.put(thing, "*", number("setpoint", 32), text("nothing", "x")), alwayson.NotFound, "property nothing, after 1 of 2 were written")
			if a.Value("setpoint") != 32.0 || a.Value("label") != "y" {
				t.Errorf("the agent has %v and %v", a.Value("setpoint"), a.Value("label"))
			}
			meta := r.call(thing, "GetMetadata")
			mustBe(t, meta, `"name":"`+thing+`"`)
			mustBe(t, meta, `"Add":{"name":"Add"`)
			eventually(t, "the agent was told of its bindings", func() string {
				if !slices.ContainsFunc(a.Requests(), func(s string) bool { return strings.Contains(s, "Services/NotifyPropertyUpdate") }) {
					return strings.Join(a.Requests(), "\n")
				}
				return ""
			})
			mustBe(t, r.local("GetEdgeThings"), fmt.Sprintf(`"name":%q,"host":"127.0.0.1"`, thing))
			if all := string(restjson.AppendValue(nil, r.local("GetEdgeThings").Content)); strings.Contains(all, opt.Password) && opt.Password != "" {
				t.Errorf("the password is shown: %s", all)
			}
			end(nil)
			r.waitWanted(thing, false)
			mustFail(t, r.call(thing, "Add"), alwayson.NotFound, "no device "+thing)
			if r.has(thing) {
				t.Error("it is still registered")
			}
		})
	}
}

func TestAnAgentThatDiesIsUnboundAndBoundAgainWhenItAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, die := r.agent(devicesim.AgentOptions{Name: "agent-1", Check: time.Second})
	r.waitWanted("agent-1", true)
	die(devicesim.ErrAgentDies)
	mustFail(t, r.call("agent-1", "Add"), alwayson.ServiceUnavailable, "nobody listens there")
	r.waitWanted("agent-1", false)
	if r.has("agent-1") {
		t.Error("LocalEms says that a silent agent is there, so that it would not register again")
	}
	shown, _ := r.m.Thing("AGENT-1")
	if shown.State != bridge.StateOffline || shown.Agent != "silent" || len(shown.Recent) == 0 || !strings.Contains(shown.Recent[0].Text, "nobody listens there") {
		t.Errorf("it is shown as %+v", shown)
	}
	// The same address answers again: nobody has to register.
	again, err := devicesim.NewAgent(devicesim.AgentOptions{REST: "http://127.0.0.1:1", Name: "agent-1", Listen: first.Address(), Interval: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- again.Run(ctx) }()
	r.waitWanted("agent-1", true)
	cancel(devicesim.ErrAgentDies)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.waitWanted("agent-1", false)
	// One elsewhere registers under the name.
	r.agent(devicesim.AgentOptions{Name: "agent-1", Check: time.Second})
	r.waitWanted("agent-1", true)
	mustBe(t, r.call("agent-1", "Add", number("a", 1)), `"rows":[{"result":1}]`)
}

func TestAnAgentThatHasNotAnsweredYetIsNotBound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	silent := httptest.NewServer(nil)
	address := silent.Listener.Addr().String()
	silent.Close()
	if resp := r.add(fmt.Sprintf(`{"name":"agent-1","port":%q}`, address[strings.LastIndex(address, ":")+1:])); !resp.Code.IsSuccess() {
		t.Fatal(resp.Reason)
	}
	if !r.has("agent-1") {
		t.Error("it would register again and again")
	}
	eventually(t, "it was probed", func() string {
		if shown, _ := r.m.Thing("agent-1"); shown.Problems == 0 {
			return "no problem is noted"
		}
		return ""
	})
	if h := r.far.history(); h != "" {
		t.Errorf("the platform was told %s", h)
	}
}

func TestABindThatThePlatformRefusesIsShown(t *testing.T) {
	r := newRig(t)
	r.far.mu.Lock()
	r.far.refuse = "no permission"
	r.far.mu.Unlock()
	mustBe(t, r.add(`{"name":"one"}`), "null")
	r.waitWanted("one", true)
	shown, _ := r.m.Thing("one")
	if shown.State != bridge.StateRefused || shown.Reason != "no permission" || len(shown.Recent) != 1 {
		t.Errorf("it is shown as %+v", shown)
	}
}
