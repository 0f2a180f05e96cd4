package edgethings_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"thingbridge/bridge"
	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/edgethings"
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

func (o *others) PlatformUp(uint64) {}

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
