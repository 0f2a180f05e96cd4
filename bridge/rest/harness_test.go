package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"thingbridge/bridge/permit"
	"thingbridge/edge"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appKey   = "the-application-key"
	token    = "the-token"
	patience = 15 * time.Second
)

// device is the bridge's side of pump-1: it answers the platform's requests, and
// holds those of the service Hold until the test says so.
type device struct {
	bound  chan struct{}
	up     chan struct{}
	down   chan struct{}
	held   chan func()
	closed sync.Once
}

func (d *device) PlatformUp(uint64)                              { d.up <- struct{}{} }
func (d *device) PlatformDown(uint64, error)                     { d.down <- struct{}{} }
func (d *device) Subscribed(string, []alwayson.Subscription)     { d.closed.Do(func() { close(d.bound) }) }
func (d *device) CurrentValues(string) []alwayson.PropertyValue  { return nil }
func (d *device) BindChanged(string, alwayson.BindState, string) {}

func (d *device) Request(_ string, _ alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	switch req.Name {
	case "Hold":
		d.held <- func() { respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewString("held"))))) }
	case "Big":
		table := &alwayson.InfoTable{Rows: make([][]alwayson.Value, 5000)}
		for i := range 20 {
			table.Fields = append(table.Fields, alwayson.Field{Name: fmt.Sprintf("%s%d", strings.Repeat("column", 30), i), Type: alwayson.TypeNumber})
		}
		respond(alwayson.OK(alwayson.NewTable(table)))
	case "Add":
		sum := req.Params.Cell(0, "a").Number() + req.Params.Cell(0, "b").Number()
		respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewNumber(sum)))))
	default:
		respond(alwayson.Fail(alwayson.NotFound, "no "+req.Name))
	}
}

// world is a simulated platform, a connection to it, and a REST listener.
type world struct {
	t        testing.TB
	platform *simulator.Platform
	device   *device
	client   *edge.Client
	rest     *REST
	base     string
	http     *http.Client
	stop     func()
}

// begin runs a world in which change may change the options of the listener.
func begin(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, device: &device{
		bound: make(chan struct{}), up: make(chan struct{}, 100), down: make(chan struct{}, 100), held: make(chan func(), 1000),
	}}
	var err error
	inputs := map[string]simulator.FieldSpec{"a": {Type: "INTEGER"}, "b": {Type: "INTEGER"}}
	w.platform, err = simulator.New(simulator.Options{AppKey: appKey, Strict: true, Things: []simulator.ThingSpec{{
		Name: "pump-1", Properties: map[string]simulator.PropertySpec{"note": {Type: "STRING", Local: true}, "level": {Type: "INTEGER", Local: true}},
		Services: map[string]simulator.ServiceSpec{"Add": {Inputs: inputs}, "Hold": {}, "Big": {}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w.client, err = edge.NewClient(edge.Options{
		URL: w.platform.WSURL(), AppKey: func(context.Context) (string, error) { return appKey, nil },
		ConnectBackoff: edge.Backoff{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond, Factor: 2},
	}, w.device)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Listen: "127.0.0.1:0", Platform: w.client, Timeout: patience, Allow: rules(t, "Things", "Resources")}
	if change != nil {
		change(&o)
	}
	if w.rest, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := w.rest.Listen(); err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + w.rest.Addr().String()
	w.http = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 500}}
	w.run()
	<-w.device.bound
	return w
}

func (w *world) run() {
	w.client.Want("pump-1")
	var stops []func() // the last first, as the bridge leaves before the platform
	for _, run := range []func(context.Context) error{w.platform.Run, w.client.Run, w.rest.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := run(ctx); err != nil {
				w.t.Errorf("run: %v", err)
			}
		}()
		stops = append(stops, func() { cancel(); <-ended })
	}
	w.stop = sync.OnceFunc(func() {
		w.http.CloseIdleConnections()
		for _, stop := range slices.Backward(stops) {
			stop()
		}
	})
	w.t.Cleanup(w.stop)
}

func rules(t testing.TB, texts ...string) permit.Rules {
	t.Helper()
	rs, err := permit.ParseRules(texts)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// do makes a request; header holds names and values in turn.
func (w *world) do(method, path, body string, header ...string) (int, string, http.Header) {
	w.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, w.base+path, content)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header
}

func (w *world) want(status int, words, method, path, body string, header ...string) {
	w.t.Helper()
	got, text, _ := w.do(method, path, body, header...)
	if got != status || !strings.Contains(text, words) {
		w.t.Errorf("%s %s: %d %.200s; want %d with %q", method, path, got, text, status, words)
	}
}

// result reads the first row of a table.
func result(t *testing.T, text string) map[string]any {
	t.Helper()
	var table struct{ Rows []map[string]any }
	if err := json.Unmarshal([]byte(text), &table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	return table.Rows[0]
}

// await waits until ok says so.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func cutFor(d time.Duration) simulator.Fault {
	return simulator.Fault{Kind: simulator.FaultCut, For: d}
}

// counted tells how many requests ended so.
func counted(r *REST, outcome string) float64 {
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.metrics.requests[outcome])
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		return -1
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
