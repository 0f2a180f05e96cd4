package edgethings_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"thingbridge/bridge"
	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/edgethings"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// eventually waits until ok says "".
func eventually(t *testing.T, what string, ok func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		why := ok()
		if why == "" {
			return
		}
		if time.Since(start) > patience {
			t.Fatalf("%s: not after %v: %s", what, patience, why)
		}
	}
}

// far is a platform that binds whatever is wanted, at once.
type far struct {
	mu     sync.Mutex
	events bridge.PlatformEvents
	wanted map[string]bool
	log    []string
	asked  []*alwayson.Request
	answer func(req *alwayson.Request) (*alwayson.Response, error)
	refuse string
}

func (f *far) Want(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		f.wanted[n] = true
		f.log = append(f.log, "want "+n)
		state, reason := alwayson.Bound, f.refuse
		if reason != "" {
			state = alwayson.Refused
		}
		f.events.BindChanged(n, state, reason)
		if reason == "" {
			f.events.Subscribed(n, nil)
		}
	}
}

func (f *far) Unwant(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		delete(f.wanted, n)
		f.log = append(f.log, "unwant "+n)
		f.events.BindChanged(n, alwayson.Unbound, "")
	}
}

func (f *far) Start(_ alwayson.Code, req *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	if f.answer == nil {
		done(alwayson.OK(alwayson.Value{}), nil)
		return
	}
	done(f.answer(req))
}

func (f *far) isWanted(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wanted[name]
}

func (f *far) history() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, ", ")
}

// others is what stands behind the Manager.
type others struct {
	bridge.PlatformEvents
	mu   sync.Mutex
	told []string
}

func (o *others) note(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, s)
}
func (o *others) PlatformUp(uint64)          {}
func (o *others) PlatformDown(uint64, error) {}
func (o *others) BindChanged(name string, _ alwayson.BindState, _ string) {
	o.note("bind " + name)
}
func (o *others) Subscribed(name string, _ []alwayson.Subscription) { o.note("subscribed " + name) }
func (o *others) CurrentValues(name string) []alwayson.PropertyValue {
	return []alwayson.PropertyValue{{Name: name}}
}
func (o *others) Request(name string, _ alwayson.Code, _ *alwayson.Request, respond func(*alwayson.Response)) {
	respond(alwayson.Fail(alwayson.NotFound, "no device "+name))
}

// names has one holder for each name.
type names struct {
	mu    sync.Mutex
	taken map[string]string
}

func (n *names) Reserve(name, holder string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if by := n.taken[strings.ToLower(name)]; by != "" {
		return fmt.Errorf("platform name %q is taken by %s", name, by)
	}
	n.taken[strings.ToLower(name)] = holder
	return nil
}

func (n *names) Release(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.taken, strings.ToLower(name))
}

// rig is a Manager between a far platform and a REST listener for agents.
type rig struct {
	t     *testing.T
	m     *edgethings.Manager
	far   *far
	other *others
	names *names
	rest  *httptest.Server
	stop  func()
}

func newRig(t *testing.T, setup ...func(*edgethings.Options)) *rig {
	t.Helper()
	r := &rig{t: t, far: &far{wanted: map[string]bool{}}, other: &others{}, names: &names{taken: map[string]string{"pump-1": "the device of pump-1"}}}
	opt := edgethings.Options{Names: r.names, Version: "test", Logger: slog.New(slog.DiscardHandler)}
	for _, f := range setup {
		f(&opt)
	}
	m, err := edgethings.New(opt, r.other)
	if err != nil {
		t.Fatal(err)
	}
	r.m, r.far.events = m, m
	m.Attach(r.far)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	m.PlatformUp(1)
	r.rest = httptest.NewServer(r)
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.rest.Close()
	})
	t.Cleanup(r.stop)
	return r
}

// ServeHTTP serves REST as the bridge's listener does.
func (r *rig) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	target, bad := restjson.ParsePath(q.URL.EscapedPath())
	var method alwayson.Code
	if bad == nil {
		method, bad = target.Method(q.Method)
	}
	var raw json.RawMessage
	if bad == nil {
		raw, bad = restjson.ReadBody(w, q, 1<<20)
	}
	var params *alwayson.InfoTable
	if bad == nil && method == alwayson.Put {
		params = restjson.Content(raw)
	} else if bad == nil {
		params, bad = restjson.Params(raw, nil)
	}
	if bad != nil {
		http.Error(w, bad.Text, bad.Status)
		return
	}
	resp, mine := r.m.Serve(q.Context(), method, target.Request(params))
	if !mine {
		http.Error(w, "not the bridge's own", http.StatusForbidden)
		return
	}
	restjson.Answer(w, resp)
}

// agent runs a simulated agent until the test's end, or until end is called.
func (r *rig) agent(opt devicesim.AgentOptions) (a *devicesim.Agent, end func(error)) {
	r.t.Helper()
	opt.REST = r.rest.URL
	if opt.Interval == 0 {
		opt.Interval = -1
	}
	a, err := devicesim.NewAgent(opt)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	end = func() func(error) {
		var once sync.Once
		return func(cause error) {
			once.Do(func() {
				cancel(cause)
				if err := <-ended; err != nil {
					r.t.Error(err)
				}
			})
		}
	}()
	r.t.Cleanup(func() { end(nil) })
	return a, end
}

func (r *rig) waitWanted(name string, want bool) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%s wanted: %v", name, want), func() string {
		if r.far.isWanted(name) != want {
			return "the platform was told: " + r.far.history()
		}
		return ""
	})
}

// local calls a service of LocalEms.
func (r *rig) local(service string, inputs ...alwayson.Named) *alwayson.Response {
	r.t.Helper()
	var params *alwayson.InfoTable
	if len(inputs) > 0 {
		params = alwayson.OneRow(inputs...)
	}
	resp, mine := r.m.Serve(r.t.Context(), alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "LocalEms", service, params))
	if !mine {
		r.t.Fatalf("%s is none of the Manager's", service)
	}
	return resp
}

func (r *rig) add(json string) *alwayson.Response {
	r.t.Helper()
	params, bad := restjson.Params([]byte(json), nil)
	if bad != nil {
		r.t.Fatal(bad)
	}
	resp, _ := r.m.Serve(r.t.Context(), alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "LocalEms", "AddEdgeThing", params))
	return resp
}

func (r *rig) has(name string) bool {
	r.t.Helper()
	return alwayson.Result(r.local("HasEdgeThing", text("name", name)).Content, "result").Bool()
}

// ask makes a request of the platform and waits for its answer.
func (r *rig) ask(thing string, method alwayson.Code, req *alwayson.Request) *alwayson.Response {
	r.t.Helper()
	return <-r.start(thing, method, req)
}

func (r *rig) start(thing string, method alwayson.Code, req *alwayson.Request) chan *alwayson.Response {
	answer := make(chan *alwayson.Response, 2)
	r.m.Request(thing, method, req, func(resp *alwayson.Response) { answer <- resp })
	return answer
}

func (r *rig) call(thing, service string, inputs ...alwayson.Named) *alwayson.Response {
	r.t.Helper()
	return r.ask(thing, alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, thing, service, alwayson.OneRow(inputs...)))
}

func (r *rig) get(thing, property string) *alwayson.Response {
	r.t.Helper()
	return r.ask(thing, alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, thing, property, nil))
}

func (r *rig) put(thing, property string, cells ...alwayson.Named) *alwayson.Response {
	r.t.Helper()
	return r.ask(thing, alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, thing, property, alwayson.OneRow(cells...)))
}

func text(name, v string) alwayson.Named {
	return alwayson.Named{Name: name, Value: alwayson.NewString(v)}
}
func number(name string, v float64) alwayson.Named {
	return alwayson.Named{Name: name, Value: alwayson.NewNumber(v)}
}

// mustBe wants a success and its content as REST shows it.
func mustBe(t *testing.T, resp *alwayson.Response, want string) {
	t.Helper()
	if got := string(restjson.AppendValue(nil, resp.Content)); !resp.Code.IsSuccess() || !strings.Contains(got, want) {
		t.Errorf("answer is %s %q %s, want %s", resp.Code, resp.Reason, got, want)
	}
}

func mustFail(t *testing.T, resp *alwayson.Response, code alwayson.Code, want string) {
	t.Helper()
	if resp.Code != code || !strings.Contains(resp.Reason, want) {
		t.Errorf("answer is %s %q, want %s and %q", resp.Code, resp.Reason, code, want)
	}
}

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

func TestWhatAnAgentAsksForItsOwnThingGoesToThePlatform(t *testing.T) {
	r := newRig(t)
	mustBe(t, r.add(`{"name":"agent-1"}`), "null")
	serve := func(method alwayson.Code, req *alwayson.Request) (*alwayson.Response, bool) {
		return r.m.Serve(t.Context(), method, req)
	}
	content := func(json string) *alwayson.InfoTable { return restjson.Content([]byte(json)) }
	for _, c := range []struct {
		method alwayson.Code
		req    *alwayson.Request
		want   string
	}{
		{alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "AGENT-1", "temp", content(`{"value": 5}`)), `{"temp":5}`},
		{alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "agent-1", "temp", content(`{"temp": 6}`)), `{"temp": 6}`},
		{alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "agent-1", "*", content(`{"value": 7}`)), `{"value": 7}`},
		{alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "agent-1", "temp", nil), ""},
		{alwayson.Post, alwayson.EventRequest("agent-1", "Alarm", nil), ""},
		{alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "agent-1", "GetPropertySubscriptions", nil), ""},
		{alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "agent-1", "UpdateSubscribedPropertyValues", nil), ""},
	} {
		resp, mine := serve(c.method, c.req)
		if !mine || !resp.Code.IsSuccess() {
			t.Errorf("%s %s: %v %v", c.method, c.req.Name, mine, resp)
			continue
		}
		last := r.far.asked[len(r.far.asked)-1]
		if last.Entity != "agent-1" || last.Name != c.req.Name || last.Params.Cell(0, "_content_").Text() != c.want {
			t.Errorf("%s %s reached the platform as %+v %s", c.method, c.req.Name, last, last.Params.Cell(0, "_content_"))
		}
	}
	if _, mine := serve(alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "agent-1", "DeleteThing", nil)); mine {
		t.Error("a service that needs a rule is let through without one")
	}
	for err, code := range map[error]alwayson.Code{
		alwayson.ErrNotConnected: alwayson.ServiceUnavailable, alwayson.ErrNoAnswer: alwayson.GatewayTimeout,
		alwayson.ErrTooLarge: alwayson.EntityTooLarge, alwayson.ErrConnectionLost: alwayson.BadGateway,
	} {
		r.far.answer = func(*alwayson.Request) (*alwayson.Response, error) { return nil, err }
		if resp, _ := serve(alwayson.Post, alwayson.EventRequest("agent-1", "Alarm", nil)); resp.Code != code {
			t.Errorf("%v: %s", err, resp.Code)
		}
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

func TestNothingIsSentForAThingThatThePlatformHasNotBound(t *testing.T) {
	r := newRig(t)
	r.far.refuse = "it is no remote thing"
	mustBe(t, r.add(`{"name":"Controller"}`), "null")
	write := func(thing string) *alwayson.Response {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		resp, mine := r.m.Serve(ctx, alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, thing, "speed", restjson.Content([]byte(`{"speed": 9000}`))))
		if !mine {
			t.Fatal("it is none of the Manager's")
		}
		return resp
	}
	r.waitWanted("Controller", true)
	mustFail(t, write("Controller"), alwayson.ServiceUnavailable, "the platform refuses to bind Controller, so nothing is sent for it: it is no remote thing")
	r.m.PlatformDown(1, errors.New("gone"))
	mustFail(t, write("Controller"), alwayson.ServiceUnavailable, "not connected")
	r.m.PlatformUp(2)
	// One whose agent does not answer is never bound: who registers it does not get to the Thing either.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	mustBe(t, r.add(fmt.Sprintf(`{"name":"Other","port":%d}`, port)), "null")
	mustFail(t, write("Other"), alwayson.ServiceUnavailable, "nothing is sent for Other before its agent answers at http://127.0.0.1:")
	if len(r.far.asked) != 0 {
		t.Errorf("the platform was asked %+v", r.far.asked[0])
	}
}

func TestAPushWaitsForItsThingToBeBound(t *testing.T) {
	r := newRig(t)
	turn := make(chan func(http.ResponseWriter), 1)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if f, more := <-turn; more {
			f(w)
		}
	}))
	defer agent.Close()
	defer close(turn)
	mustBe(t, r.add(fmt.Sprintf(`{"name":"agent-1","port":%d}`, agent.Listener.Addr().(*net.TCPAddr).Port)), "null")
	answered := make(chan *alwayson.Response, 1)
	go func() {
		resp, _ := r.m.Serve(t.Context(), alwayson.Post, alwayson.EventRequest("agent-1", "Alarm", nil))
		answered <- resp
	}()
	turn <- func(http.ResponseWriter) {} // now it answers
	mustBe(t, <-answered, "null")
}

func TestARequestThatIsEndlessAsJSONDoesNotReachTheAgent(t *testing.T) {
	r := newRig(t)
	a, _ := r.agent(devicesim.AgentOptions{Name: "agent-1"})
	r.waitWanted("agent-1", true)
	table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: strings.Repeat("n", 100_000), Type: alwayson.TypeBoolean}}}
	for range 100_000 { // 10 GB
		table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewBoolean(true)})
	}
	mustFail(t, r.call("agent-1", "Add", alwayson.Named{Name: "a", Value: alwayson.NewTable(table)}), alwayson.EntityTooLarge, "are sent to an agent at most")
	if slices.ContainsFunc(a.Requests(), func(s string) bool { return strings.Contains(s, "/Services/Add") }) {
		t.Error("it was sent")
	}
}

func TestATokenOfOneAgentIsNotGivenToTheNext(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	got := map[string]string{} // all tokens that an agent got, by the token that it gives
	agent := func(token string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			mu.Lock()
			got[token] += q.Header.Get("X-CSRF-Token")
			mu.Unlock()
			w.Header().Set("X-CSRF-Token", token)
		}))
		t.Cleanup(s.Close)
		return s
	}
	first, second := agent("first's own"), agent(strings.Repeat("x", 5000))
	at := func(s *httptest.Server) string {
		return fmt.Sprintf(`{"name":"a","port":%d,"keepalive":3600000}`, s.Listener.Addr().(*net.TCPAddr).Port)
	}
	mustBe(t, r.add(at(first)), "null")
	r.waitWanted("a", true)
	r.call("a", "S")
	mustBe(t, r.add(at(second)), "null")
	r.call("a", "S")
	r.call("a", "S")
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(got["first's own"], "first's own") || got[strings.Repeat("x", 5000)] != "" {
		t.Errorf("tokens sent: %q", got)
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

// slowAgent is an agent whose answers the test gives.
type slowAgent struct {
	*httptest.Server
	asked chan string
	turn  chan func(http.ResponseWriter)
}

func (r *rig) slowAgent(name string) *slowAgent {
	r.t.Helper()
	a := &slowAgent{asked: make(chan string, 100), turn: make(chan func(http.ResponseWriter))}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !strings.Contains(q.URL.Path, "/Properties") && !strings.Contains(q.URL.Path, "/Services/S") {
			return // a probe, or a notice
		}
		_, _ = io.Copy(io.Discard, q.Body) // or the end of the connection goes unnoticed
		a.asked <- q.Method + " " + q.URL.Path
		select {
		case f := <-a.turn:
			f(w)
		case <-q.Context().Done():
		}
	}))
	r.t.Cleanup(a.Close)
	_, port, _ := strings.Cut(a.Listener.Addr().String(), ":")
	mustBe(r.t, r.add(fmt.Sprintf(`{"name":%q,"port":%q,"timeout":1000}`, name, port)), "null")
	r.waitWanted(name, true)
	return a
}

func ok(http.ResponseWriter) {}

func TestRequestsBeyondTheBoundsAreRefusedAtOnce(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.Calls, o.CallsPerThing = 3, 2 })
	one, two := r.slowAgent("one"), r.slowAgent("two")
	service := func(thing string) chan *alwayson.Response {
		return r.start(thing, alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, thing, "S", nil))
	}
	var waiting []chan *alwayson.Response
	for _, thing := range []string{"one", "one", "two"} {
		waiting = append(waiting, service(thing))
	}
	mustFail(t, <-service("one"), alwayson.ServiceUnavailable, "the bridge is full: 3 requests to edge things are in flight (limits.calls)")
	<-one.asked
	<-one.asked
	<-two.asked
	two.turn <- ok
	mustBe(t, <-waiting[2], "null")
	mustFail(t, <-service("one"), alwayson.ServiceUnavailable, "one is busy: 2 requests are in flight (limits.calls_per_thing)")
	mustFail(t, <-waiting[0], alwayson.GatewayTimeout, "no answer in time (1s)")
	mustFail(t, <-waiting[1], alwayson.GatewayTimeout, "no answer in time (1s)")
}

func TestWritesOfOneThingGoOneAfterTheOther(t *testing.T) {
	r := newRig(t)
	a := r.slowAgent("one")
	var waiting []chan *alwayson.Response
	for _, p := range []string{"a", "b", "c"} {
		waiting = append(waiting, r.start("one", alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "one", p, alwayson.OneRow(number(p, 1)))))
	}
	for i, p := range []string{"a", "b", "c"} {
		if got := <-a.asked; !strings.HasSuffix(got, "/Properties/"+p) || len(a.asked) > 0 {
			t.Errorf("write %d is %s, with %d beside it", i, got, len(a.asked))
		}
		a.turn <- ok
		mustBe(t, <-waiting[i], "null")
	}
}

func TestAnswersThatCannotBeTakenAreErrors(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.MaxBody = 1000 })
	a := r.slowAgent("one")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for _, c := range []struct {
		name string
		say  func(http.ResponseWriter)
		code alwayson.Code
		want string
	}{
		{"too large", func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 2000)) }, alwayson.BadGateway, "the agent's answer is too large: over 1000 bytes"},
		{"broken off", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, alwayson.BadGateway, "broke the connection off"},
		{"a redirect", func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusFound)
		}, alwayson.BadGateway, "the agent answered 302 Found"},
	} {
		answer := r.start("one", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "one", "S", nil))
		<-a.asked
		a.turn <- c.say
		mustFail(t, <-answer, c.code, c.want)
	}
}

func TestStopEndsWhatIsInFlight(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.StopTimeout = 50 * time.Millisecond })
	a := r.slowAgent("one")
	answer := r.start("one", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "one", "S", nil))
	<-a.asked
	r.stop()
	mustFail(t, <-answer, alwayson.ServiceUnavailable, "the bridge stops; the agent may have acted")
	mustFail(t, r.call("one", "S"), alwayson.ServiceUnavailable, "the bridge stops")
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

func TestCallsSideBySideOfAnAgentThatWantsTokens(t *testing.T) {
	r := newRig(t)
	r.agent(devicesim.AgentOptions{Name: "agent-1", CSRF: true})
	r.waitWanted("agent-1", true)
	var waiting []chan *alwayson.Response
	for i := range 12 {
		waiting = append(waiting, r.start("agent-1", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "agent-1", "Add", alwayson.OneRow(number("a", float64(i))))))
	}
	for i, answer := range waiting {
		mustBe(t, <-answer, fmt.Sprintf(`"rows":[{"result":%d}]`, i))
	}
}
