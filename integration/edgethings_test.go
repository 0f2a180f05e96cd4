package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAnHTTPAgentMadeForTheEdgeMicroServer goes the whole way of an agent that
// registers at LocalEms: it is called, dies, comes back, and outlives the bridge.
func TestAnHTTPAgentMadeForTheEdgeMicroServer(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	rest := freeAddress(t)
	br := newBridge(t, b, s.webSocket(s.address), "rest: {listen: "+rest+", edge_things: {enabled: true}}\n")
	br.waitReady()
	const password = "an-agents-own-password"
	address := freeAddress(t)
	startAgent := func() *process {
		return start(t, "simulate agent", binary, "simulate", "agent", "--rest", "http://"+rest, "--name", "agent-1", "--listen", address,
			"--check", "1s", "--interval", "50ms", "--csrf", "--user", "bridge", "--password", password)
	}
	local := &platform{t: t, address: rest, http: s.http} // LocalEms has the platform's REST shape
	localEms := func(service string, inputs any) answer {
		t.Helper()
		return local.do(http.MethodPost, "/Thingworx/Things/LocalEms/Services/"+service, inputs)
	}
	bound := func(want bool) {
		t.Helper()
		t.Logf("bound %v after %v", want, s.waitThing("agent-1", want))
	}
	calls := func() {
		t.Helper()
		if got := s.call("agent-1", "Add", map[string]any{"a": 1.5, "b": 2}).cell(t, "result"); fmt.Sprint(got) != "3.5" {
			t.Fatalf("1.5 + 2 is %v", got)
		}
	}

	agent := startAgent()
	bound(true)
	calls()
	s.call("agent-1", "Fail", nil).want(t, http.StatusInternalServerError, "the pump is stuck")
	if a := s.do(http.MethodPut, "/Thingworx/Things/agent-1/Properties/setpoint", map[string]any{"setpoint": 30}); a.code != http.StatusOK {
		t.Fatalf("write: %d %s", a.code, a.body)
	}
	eventually(t, "the agent pushes", func() string {
		all, err := s.pushes("agent-1")
		if err != nil || !slices.ContainsFunc(all, func(v pushed) bool { return v.Name == "temperature" && v.Quality == "GOOD" }) {
			return fmt.Sprintf("%v %+v", err, all)
		}
		return ""
	})
	if got := fmt.Sprint(localEms("HasEdgeThing", map[string]any{"name": "agent-1"}).cell(t, "result")); got != "true" {
		t.Fatalf("HasEdgeThing says %s", got)
	}
	if got := fmt.Sprint(local.do(http.MethodGet, "/Thingworx/Things/LocalEms/Properties/isConnected", nil).cell(t, "isConnected")); got != "true" {
		t.Fatalf("isConnected says %s", got)
	}

	// Names and hosts that are not its to take.
	d := newDevice(t, b, "clash")
	d.announce("pump-1", "{}")
	d.announce("AGENT-1", "{}")
	s.waitThing("pump-1", true)
	localEms("AddEdgeThing", map[string]any{"name": "PUMP-1", "port": 8001}).want(t, http.StatusPreconditionFailed, "taken by the device of thing")
	localEms("AddEdgeThing", map[string]any{"name": "x", "host": "192.0.2.1", "port": 80}).want(t, http.StatusForbidden, "rest.edge_things.hosts")
	localEms("AddEdgeThing", map[string]any{"name": "x", "port": strings.Split(rest, ":")[1]}).want(t, http.StatusForbidden, "the bridge itself")

	// It dies and comes back.
	agent.kill()
	s.call("agent-1", "Add", nil).want(t, http.StatusServiceUnavailable, "nobody listens there")
	bound(false)
	agent = startAgent()
	bound(true)
	calls()

	// The bridge dies and comes back; the agent need not register again.
	br.p.kill()
	bound(false)
	br.start()
	bound(true)
	calls()

	// The agent stops in order: the device that wanted its name gets it.
	agent.stop(t)
	eventually(t, "the device has the name", func() string {
		code, out := runOnce(t, "things", "AGENT-1", "--config", br.config)
		if code != 0 || !strings.Contains(out, "native") || !strings.Contains(out, "ready since") {
			return out
		}
		return ""
	})
	br.p.stop(t)
	if strings.Contains(br.p.output(), password) {
		t.Error("the agent's password is in the log")
	}
}
