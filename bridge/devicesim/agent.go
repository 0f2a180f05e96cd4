package devicesim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// AgentOptions say what an Agent is. REST and Name are required; zero values
// mean the defaults that stand beside them.
type AgentOptions struct {
	REST     string        // where an Edge MicroServer, or a bridge in its place, listens: http://127.0.0.1:8000
	Token    string        // for REST, as the header appKey; "" none
	Name     string        // of its Thing; with a leading * an identifier
	Listen   string        // (127.0.0.1:0)
	Path     string        // under which it serves its Thing (/scripts/Thingworx)
	User     string        // that it wants of who calls it; "" nobody has to log in
	Password string        // that goes with User
	CSRF     bool          // want the token of the last answer with each request
	Interval time.Duration // between two values that it pushes (1s); below 0: none
	Check    time.Duration // between two looks whether it is still registered, and its keepalive (60s)
	Retry    time.Duration // after a registration that failed (5s)
	Logger   *slog.Logger  // nil: silent
}

func (o *AgentOptions) fill() error {
	if o.REST == "" || o.Name == "" {
		return errors.New("simulate agent: the address of REST or the Thing's name is missing")
	}
	if u, err := url.Parse(o.REST); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("simulate agent: %q is no address such as http://127.0.0.1:8000", o.REST)
	}
	o.REST = strings.TrimRight(o.REST, "/")
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Path == "" {
		o.Path = "/scripts/Thingworx"
	}
	for _, d := range []struct {
		at        *time.Duration
		otherwise time.Duration
	}{{&o.Interval, time.Second}, {&o.Check, time.Minute}, {&o.Retry, 5 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.otherwise
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Agent is a component that speaks HTTP, as one written for PTC's Edge
// MicroServer does: it serves one Thing, registers it at LocalEms, looks now and then
// whether it still is, pushes values, and takes its registration back when it ends.
//
// Its Thing has the properties temperature, setpoint (writable) and label
// (writable), and the services Add {a, b}, Echo {text}, Table, Fail and Wait {ms}.
type Agent struct {
	opt    AgentOptions
	listen net.Listener
	http   *http.Client

	registered atomic.Bool
	calls      atomic.Int64

	mu     sync.Mutex // guards the following
	values map[string]any
	token  string   // the next request must bring it
	log    []string // requests served, as "METHOD path body", the last 100
}

// agentTypes are the base types of the properties.
var agentTypes = map[string]string{"temperature": "NUMBER", "setpoint": "NUMBER", "label": "STRING"}

// NewAgent checks o and takes its address, so that Address is known; it does
// nothing more until Run.
func NewAgent(o AgentOptions) (*Agent, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("simulate agent: %w", err)
	}
	return &Agent{opt: o, listen: l, http: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		values: map[string]any{"temperature": 20.0, "setpoint": 21.5, "label": "an agent"}, token: rand.Text()}, nil
}

// Address is where it listens.
func (a *Agent) Address() string { return a.listen.Addr().String() }

// Registered reports whether the last registration succeeded and was not found gone since.
func (a *Agent) Registered() bool { return a.registered.Load() }

// Requests lists the requests that it served, the newest last, as "METHOD path body".
func (a *Agent) Requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.log...)
}

// Value gives the present value of a property.
func (a *Agent) Value(property string) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.values[property]
}

// ErrAgentDies, as the cause of a context's end, has an Agent stop as one that is
// killed: without taking its registration back.
var ErrAgentDies = errors.New("the agent dies")

// Run serves, registers and pushes until ctx ends; then it takes its
// registration back, if it has one. It can be run once.
func (a *Agent) Run(ctx context.Context) error {
	server := &http.Server{Handler: a, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(a.listen) }()
	a.work(ctx)
	if a.registered.Load() && !errors.Is(context.Cause(ctx), ErrAgentDies) {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		if err := a.local(bye, "RemoveEdgeThing", map[string]any{"name": a.opt.Name}, nil); err != nil {
			a.opt.Logger.Warn("registration not taken back", "thing", a.opt.Name, "error", err)
		}
		cancel()
	}
	a.registered.Store(false)
	err := server.Close()
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// work registers, looks and pushes, each in its time.
func (a *Agent) work(ctx context.Context) {
	register := time.NewTimer(0)
	defer register.Stop()
	push := time.NewTicker(max(a.opt.Interval, time.Millisecond))
	defer push.Stop()
	if a.opt.Interval < 0 {
		push.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-register.C:
			register.Reset(a.keepRegistered(ctx))
		case <-push.C:
			if a.registered.Load() {
				a.pushTemperature(ctx)
			}
		}
	}
}

// keepRegistered registers, or looks whether it still is, and tells when to come back.
func (a *Agent) keepRegistered(ctx context.Context) time.Duration {
	if a.registered.Load() {
		var has bool
		if err := a.local(ctx, "HasEdgeThing", map[string]any{"name": a.opt.Name}, &has); err == nil && has {
			return a.opt.Check
		}
		a.registered.Store(false)
		a.opt.Logger.Info("no longer registered", "thing", a.opt.Name)
	}
	host, port, err := net.SplitHostPort(a.Address())
	if err == nil {
		err = a.local(ctx, "AddEdgeThing", map[string]any{
			"name": a.opt.Name, "host": host, "port": json.Number(port), "proto": "http", "path": a.opt.Path,
			"keepalive": a.opt.Check.Milliseconds(), "timeout": 15000, "user": a.opt.User, "password": a.opt.Password,
		}, nil)
	}
	if err != nil {
		a.opt.Logger.Warn("registration failed", "thing", a.opt.Name, "error", err)
		return a.opt.Retry
	}
	a.registered.Store(true)
	a.opt.Logger.Info("registered", "thing", a.opt.Name, "address", a.Address())
	return a.opt.Check
}

// local calls a service of LocalEms; into takes a result.
func (a *Agent) local(ctx context.Context, service string, inputs map[string]any, into *bool) error {
	body, err := a.post(ctx, "/Thingworx/Things/LocalEms/Services/"+service, inputs)
	if err != nil || into == nil {
		return err
	}
	var table struct {
		Rows []struct {
			Result bool `json:"result"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(body, &table); err != nil || len(table.Rows) == 0 {
		return fmt.Errorf("%s answered %.100q", service, body)
	}
	*into = table.Rows[0].Result
	return nil
}

// pushTemperature pushes a new value in the form of a Lua Script Resource: the
// inputs as a table of one row, and in it the values as a table of variants.
func (a *Agent) pushTemperature(ctx context.Context) {
	a.mu.Lock()
	t := 20 + float64(time.Now().UnixMilli()%10000)/1000
	a.values["temperature"] = t
	a.mu.Unlock()
	if err := a.Push(ctx, "temperature", t); err != nil {
		a.opt.Logger.Debug("value not pushed", "thing", a.opt.Name, "error", err)
	}
}

// Push pushes one value of a property to the platform.
func (a *Agent) Push(ctx context.Context, property string, value any) error {
	field := func(name, baseType string) map[string]any {
		return map[string]any{"name": name, "baseType": baseType, "aspects": []any{}} // Lua writes an empty table as a list
	}
	shape := func(fields ...map[string]any) map[string]any {
		m := map[string]any{}
		for _, f := range fields {
			m[f["name"].(string)] = f
		}
		return map[string]any{"fieldDefinitions": m}
	}
	row := map[string]any{"name": property, "value": map[string]any{"baseType": agentTypes[property], "value": value},
		"time": time.Now().UnixMilli(), "quality": "GOOD"}
	values := map[string]any{"dataShape": shape(field("name", "STRING"), field("value", "VARIANT"), field("time", "DATETIME"), field("quality", "STRING")),
		"rows": []any{row}}
	_, err := a.post(ctx, "/Thingworx/Things/"+a.opt.Name+"/Services/UpdateSubscribedPropertyValues",
		map[string]any{"dataShape": shape(field("values", "INFOTABLE")), "rows": []any{map[string]any{"values": values}}})
	return err
}

// post calls a service over REST.
func (a *Agent) post(ctx context.Context, path string, inputs map[string]any) ([]byte, error) {
	content, err := json.Marshal(inputs)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.opt.REST+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-csrf-token", "whatever the last answer said")
	if a.opt.Token != "" {
		req.Header.Set("appKey", a.opt.Token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, bytes.TrimSpace(body))
	}
	return body, err
}

// ServeHTTP serves its Thing.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.calls.Add(1)
	if !a.letIn(w, r) {
		return
	}
	a.note(r.Method + " " + r.URL.EscapedPath() + " " + string(body))
	a.opt.Logger.Info("asked", "method", r.Method, "path", r.URL.EscapedPath(), "body", string(body))
	rest, ok := strings.CutPrefix(r.URL.Path, a.opt.Path+"/Things/"+a.opt.Name)
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	inputs := map[string]any{}
	if len(body) > 0 && json.Unmarshal(body, &inputs) != nil {
		http.Error(w, "the body is no JSON object", http.StatusBadRequest)
		return
	}
	switch {
	case ok && r.Method == http.MethodGet && len(parts) == 1 && parts[0] == "Properties":
		a.all(w)
	case ok && r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "Properties":
		a.get(w, parts[1])
	case ok && r.Method == http.MethodPut && len(parts) == 2 && parts[0] == "Properties":
		a.put(w, parts[1], inputs)
	case ok && r.Method == http.MethodPost && len(parts) == 2 && parts[0] == "Services":
		a.serve(w, r, parts[1], inputs)
	default:
		http.Error(w, "there is no "+r.Method+" "+r.URL.Path, http.StatusNotFound)
	}
}

// letIn checks log-in and CSRF token; false: the answer is written.
func (a *Agent) letIn(w http.ResponseWriter, r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	if a.opt.User != "" && (user != a.opt.User || password != a.opt.Password) {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return false
	}
	if !a.opt.CSRF {
		return true
	}
	a.mu.Lock()
	wanted := a.token
	a.token = rand.Text()
	w.Header().Set("x-csrf-token", a.token)
	a.mu.Unlock()
	if r.Header.Get("x-csrf-token") != wanted {
		http.Error(w, "the CSRF token is missing or wrong", http.StatusUnauthorized)
		return false
	}
	return true
}

func (a *Agent) note(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log = append(a.log, line); len(a.log) > 100 {
		a.log = a.log[1:]
	}
}

// answerJSON writes a value as JSON.
func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// all lists the properties as a Lua Script Resource does.
func (a *Agent) all(w http.ResponseWriter) {
	a.mu.Lock()
	list := map[string]any{}
	for name, value := range a.values {
		list[name] = map[string]any{"name": name, "value": value, "baseType": agentTypes[name], "time": time.Now().UnixMilli(), "quality": "GOOD", "pushType": "VALUE"}
	}
	a.mu.Unlock()
	answerJSON(w, list)
}

func (a *Agent) get(w http.ResponseWriter, name string) {
	a.mu.Lock()
	value, ok := a.values[name]
	a.mu.Unlock()
	if !ok {
		http.Error(w, "there is no property "+name, http.StatusNotFound)
		return
	}
	fields := map[string]any{
		name:   map[string]any{"name": name, "description": "", "baseType": agentTypes[name], "aspects": []any{}},
		"time": map[string]any{"name": "time", "description": "", "baseType": "DATETIME", "aspects": []any{}},
	}
	answerJSON(w, map[string]any{"dataShape": map[string]any{"fieldDefinitions": fields}, "rows": []any{map[string]any{name: value, "time": time.Now().UnixMilli()}}})
}

func (a *Agent) put(w http.ResponseWriter, name string, inputs map[string]any) {
	value, there := inputs[name]
	_, number := value.(float64)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case name == "temperature":
		http.Error(w, "temperature is measured and cannot be set", http.StatusForbidden)
	case a.values[name] == nil:
		http.Error(w, "there is no property "+name, http.StatusNotFound)
	case !there || (agentTypes[name] == "NUMBER") != number:
		http.Error(w, "the request did not contain valid data for "+name, http.StatusBadRequest)
	default:
		a.values[name] = value
	}
}

func (a *Agent) serve(w http.ResponseWriter, r *http.Request, service string, inputs map[string]any) {
	number := func(name string) float64 { f, _ := inputs[name].(float64); return f }
	switch service {
	case "Add":
		answerJSON(w, number("a")+number("b"))
	case "Echo":
		text, _ := inputs["text"].(string)
		_, _ = io.WriteString(w, text)
	case "Table":
		answerJSON(w, map[string]any{"rows": []any{map[string]any{"n": 1, "text": "one"}, map[string]any{"n": 2, "text": "two"}}})
	case "Fail":
		http.Error(w, "the pump is stuck", http.StatusInternalServerError)
	case "Wait":
		select {
		case <-time.After(time.Duration(number("ms")) * time.Millisecond):
		case <-r.Context().Done():
		}
	case "NotifyPropertyUpdate":
	case "GetMetadata":
		answerJSON(w, agentMetadata(a.opt.Name))
	default:
		http.Error(w, "there is no service "+strconv.Quote(service), http.StatusNotFound)
	}
}

// agentMetadata describes the Thing in the platform's form.
func agentMetadata(name string) map[string]any {
	properties := map[string]any{}
	for p, t := range agentTypes {
		properties[p] = map[string]any{"name": p, "description": "", "baseType": t, "aspects": map[string]any{"pushType": "ALWAYS", "isReadOnly": p == "temperature"}}
	}
	service := func(name, output string, inputs map[string]string) map[string]any {
		fields := map[string]any{}
		for in, t := range inputs {
			fields[in] = map[string]any{"name": in, "baseType": t, "aspects": map[string]any{}}
		}
		return map[string]any{"name": name, "description": "", "Inputs": map[string]any{"fieldDefinitions": fields},
			"Outputs": map[string]any{"name": "result", "baseType": output, "aspects": map[string]any{}, "fieldDefinitions": map[string]any{}}}
	}
	return map[string]any{"name": name, "description": "a simulated agent", "isSystemObject": false, "propertyDefinitions": properties,
		"serviceDefinitions": map[string]any{
			"Add":   service("Add", "NUMBER", map[string]string{"a": "NUMBER", "b": "NUMBER"}),
			"Echo":  service("Echo", "STRING", map[string]string{"text": "STRING"}),
			"Table": service("Table", "INFOTABLE", nil),
			"Fail":  service("Fail", "NOTHING", nil),
			"Wait":  service("Wait", "NOTHING", map[string]string{"ms": "NUMBER"}),
		},
		"eventDefinitions": map[string]any{}}
}
