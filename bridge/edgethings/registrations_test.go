package edgethings_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/edgethings"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

func TestRegistrations(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) {
		o.Max = 2
		o.Hosts = []string{"localhost", "10.1.0.0/16", "plc-gateway", "192.168.7.9"}
		o.Own = func() []string { return []string{"127.0.0.1:8480", ":8000"} }
	})
	for _, c := range []struct {
		name, json string
		code       alwayson.Code
		want       string
	}{
		{"without a name", `{"port":8001}`, alwayson.BadRequest, "name is missing"},
		{"an identifier without text", `{"name":"*"}`, alwayson.BadRequest, "name is missing"},
		{"a name that a device has", `{"name":"PUMP-1","port":8001}`, alwayson.PreconditionFailed, `platform name "PUMP-1" is taken by the device of pump-1`},
		{"a host that is not allowed", `{"name":"a","host":"10.2.0.1","port":80}`, alwayson.Forbidden, `host "10.2.0.1" is not among rest.edge_things.hosts`},
		{"a host name that is not allowed", `{"name":"a","host":"metadata.internal","port":80}`, alwayson.Forbidden, "is not among"},
		{"an address in other clothes", `{"name":"a","host":"::ffff:10.2.0.1","port":80}`, alwayson.Forbidden, "is not among"},
		{"an address written as one number", `{"name":"a","host":"2130706433","port":80}`, alwayson.Forbidden, "is not among"},
		{"the bridge's console", `{"name":"a","host":"localhost","port":8480}`, alwayson.Forbidden, "localhost:8480 is the bridge itself"},
		{"the bridge's REST", `{"name":"a","host":"127.0.0.2","port":8000}`, alwayson.Forbidden, "is the bridge itself"},
		{"a protocol that is none", `{"name":"a","port":80,"proto":"gopher"}`, alwayson.BadRequest, `proto is "gopher"; expected http or https`},
		{"a zone that is none", `{"name":"a","host":"::1%]:1@evil","port":80}`, alwayson.BadRequest, `host is "::1%]:1@evil"; expected a zone`},
		{"a path that leads elsewhere", `{"name":"a","port":80,"path":"@evil/"}`, alwayson.BadRequest, `path is "@evil"`},
		{"a path with a query", `{"name":"a","port":80,"path":"/x?y="}`, alwayson.BadRequest, "path is"},
		{"a port that is none", `{"name":"a","port":"web"}`, alwayson.BadRequest, `port is "web"; a number is expected`},
		{"a port out of range", `{"name":"a","port":70000}`, alwayson.BadRequest, "port is 70000"},
		{"a line break in a text", `{"name":"a","port":80,"user":"x\r\ny"}`, alwayson.BadRequest, "user has a control character"},
		{"a name as long as a novel", `{"name":"` + strings.Repeat("a", 256) + `"}`, alwayson.BadRequest, "name is longer than 255 characters"},
		{"everything as text, as Lua may have it", `{"name":"one","host":"10.1.2.3","port":"8001","keepalive":"60000","timeout":"15000","persist":"true"}`, alwayson.Success, ""},
		{"the same again", `{"name":"one","host":"plc-gateway","port":8001}`, alwayson.Success, ""},
		{"the same in another case", `{"name":"ONE"}`, alwayson.PreconditionFailed, `is taken by the edge thing "one"`},
		{"as the help pages show it", `{"name":"two","persist":true}`, alwayson.Success, ""},
		{"one more than the bound", `{"name":"three"}`, alwayson.ServiceUnavailable, "2 edge things are registered already (rest.edge_things.max)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if resp := r.add(c.json); resp.Code != c.code || !strings.Contains(resp.Reason, c.want) {
				t.Errorf("answer is %s %q, want %s and %q", resp.Code, resp.Reason, c.code, c.want)
			}
		})
	}
	mustFail(t, r.local("AddEdgeThing", alwayson.Named{Name: "name", Value: alwayson.NewBoolean(true)}), alwayson.BadRequest, "name is of type BOOLEAN")
	r.waitWanted("two", true) // it has no port, so nobody can ask it
	mustFail(t, r.call("two", "Add"), alwayson.ServiceUnavailable, "registered without a port")
	mustBe(t, r.local("RemoveEdgeThing", text("name", "TWO")), "null")
	mustBe(t, r.local("RemoveEdgeThing", text("name", "two")), "null")
	r.waitWanted("two", false)
	mustBe(t, r.add(`{"name":"three"}`), "null")
	r.waitWanted("three", true)
}

func TestLocalEms(t *testing.T) {
	r := newRig(t)
	get := func(property string) *alwayson.Response {
		resp, _ := r.m.Serve(t.Context(), alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "localems", property, nil))
		return resp
	}
	mustBe(t, get("isConnected"), `"rows":[{"isConnected":true}]`)
	mustBe(t, get(""), `"rows":[{"isConnected":true,"version":"thingbridge test"}]`)
	r.m.PlatformDown(1, errors.New("gone"))
	mustBe(t, get("isConnected"), `"rows":[{"isConnected":false}]`)
	mustFail(t, get("name"), alwayson.NotFound, "it has isConnected and version")
	mustFail(t, r.local("Restart"), alwayson.NotFound, "it has AddEdgeThing, RemoveEdgeThing, HasEdgeThing and GetEdgeThings")
	mustFail(t, r.local("HasEdgeThing"), alwayson.BadRequest, "name is missing")
	mustBe(t, r.local("HasEdgeThing", text("name", "x")), `"rows":[{"result":false}]`)
	mustBe(t, r.local("GetEdgeThings"), `"rows":[]`)
	if _, mine := r.m.Serve(t.Context(), alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "pump-1", "Log", nil)); mine {
		t.Error("a device's Thing is taken for its own")
	}
	if _, mine := r.m.Serve(t.Context(), alwayson.Post, alwayson.ServiceRequest(alwayson.EntityResource, "LocalEms", "AddEdgeThing", nil)); mine {
		t.Error("a Resource is taken for a Thing")
	}
}

func TestOfARefusedRegistrationLittleIsRemembered(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 500_000)
	for _, json := range []string{`{"name":"` + long + `"}`, `{"name":"a","port":"` + long + `"}`, `{"name":"b","port":80,"host":"` + long + `"}`,
		`{"name":"c","port":80,"path":"` + long + `"}`, `{"name":"d","port":80,"proto":"` + long + `"}`, `{"name":"e","port":80,"persist":"` + long + `"}`} {
		if resp := r.add(json); resp.Code != alwayson.BadRequest || len(resp.Reason) > 400 {
			t.Errorf("%.30s: %s with %d bytes", json, resp.Code, len(resp.Reason))
		}
	}
	kept := r.m.Refusals()
	for _, k := range kept {
		if n := len(k.Name) + len(k.Address) + len(k.Reason); n > 1500 {
			t.Errorf("%.20s: %d bytes are remembered", k.Name, n)
		}
	}
	if len(kept) != 6 {
		t.Errorf("%d refusals are remembered", len(kept))
	}
}

func TestRegistrationsSurviveARestart(t *testing.T) {
	kept := store.NewMemory()
	defer kept.Close()
	with := func(o *edgethings.Options) { o.Store = kept }
	r := newRig(t, with, func(o *edgethings.Options) { o.Hosts = []string{"localhost", "10.1.1.1"} })
	a, _ := r.agent(devicesim.AgentOptions{Name: "agent-1", User: "u", Password: "secret-word"})
	r.waitWanted("agent-1", true)
	mustBe(t, r.add(`{"name":"passing","persist":false}`), "null")
	mustBe(t, r.add(`{"name":"pump-2"}`), "null")
	mustBe(t, r.add(`{"name":"elsewhere","host":"10.1.1.1","port":80}`), "null")
	r.stop()
	r = newRig(t, with, func(o *edgethings.Options) { o.Hosts = []string{"localhost"} })
	r.waitWanted("agent-1", true)
	if !slices.ContainsFunc(a.Requests(), func(s string) bool { return strings.HasPrefix(s, "GET /scripts/Thingworx/Things/agent-1 ") }) {
		t.Errorf("it was bound without being asked: %q", a.Requests())
	}
	mustBe(t, r.call("agent-1", "Add", number("a", 1)), `"rows":[{"result":1}]`)
	var list []string
	for _, th := range r.m.Things() {
		list = append(list, th.Name)
	}
	if got := strings.Join(list, " "); got != "agent-1 pump-2" {
		t.Errorf("after the restart there are %s", got)
	}
}
