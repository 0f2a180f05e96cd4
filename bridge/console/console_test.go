package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type refusal struct{ status int }

func (r refusal) Error() string   { return "refused" }
func (r refusal) HTTPStatus() int { return r.status }

func (s *source) Call(ctx context.Context, thing, service string, inputs json.RawMessage) (any, error) {
	switch service {
	case "Refuse":
		return nil, refusal{404}
	case "Odd":
		return nil, refusal{200}
	case "Break":
		return nil, errors.New("broken")
	case "Wait":
		if s.block != nil {
			s.block <- struct{}{}
		}
		<-ctx.Done()
		return nil, fmt.Errorf("call: %w", ctx.Err())
	}
	return map[string]any{"thing": thing, "inputs": inputs}, nil
}

func options() Options {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "some_total"})
	reg.MustRegister(c)
	return Options{Listen: "127.0.0.1:0", Source: &source{links: []Link{{Name: "mqtt", Up: true}, {Name: "platform", Up: true}}}, Gatherer: reg}
}

func serve(t *testing.T, o Options, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w
}

func get(path string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "localhost:8480"
	return r
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "localhost:8480"
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestAnswers(t *testing.T) {
	const services = "/api/v1/things/pump-1/services/"
	cases := []struct {
		name    string
		request *http.Request
		status  int
		body    string
	}{
		{"the process lives", get("/healthz"), 200, `"alive"`},
		{"both links are up", get("/readyz"), 200, `"ready":true`},
		{"metrics are shown", get("/metrics"), 200, "some_total 0"},
		{"status", get("/api/v1/status"), 200, `"things":2`},
		{"things with the default limit", get("/api/v1/things"), 200, `"name":"////name/false/0/1000"`},
		{"a part of the things", get("/api/v1/things?prefix=p&offset=5&limit=7"), 200, `"name":"p////name/false/5/7"`},
		{"things found, filtered and sorted", get("/api/v1/things?search=Ump&state=ready&profile=native&sort=-lastSeen"), 200, `"name":"/Ump/ready/native/lastSeen/true/0/1000"`},
		{"states of the things that match", get("/api/v1/things"), 200, `"states":{"ready":2}`},
		{"an order that is none", get("/api/v1/things?sort=size"), 400, "expected one of [name state"},
		{"a state that is none", get("/api/v1/things?state=redy"), 400, "state: expected one of [offline"},
		{"a thing with values cut", get("/api/v1/things/pump-1?max_value=30"), 200, `"max":30`},
		{"a cut that is none", get("/api/v1/things/pump-1?max_value=x"), 400, "max_value: expected a number"},
		{"no calls are an empty list", get("/api/v1/calls"), 200, `{"calls":[],"total":0}`},
		{"the configuration", get("/api/v1/config"), 200, `{"file":"f.yaml","text":"a: b\n"}`},
		{"advice, where there is none", get("/api/v1/advice"), 200, `{"advice":[],"notices":[]}`},
		{"history, before there is one", get("/api/v1/history"), 200, `"points":[]`},
		{"history of a day", get("/api/v1/history?window=24h&after=1"), 200, `"step":60,"span":86400`},
		{"history of another time", get("/api/v1/history?window=1h"), 400, "expected 10m or 24h"},
		{"the page", get("/"), 200, "<!doctype html>"},
		{"the page's script", get("/page/app.js"), 200, "import"},
		{"a file that the page has not", get("/page/x.js"), 404, "no such file"},
		{"a way out of the page's folder", get("/page/..%2fpage.go"), 404, "no such file"},
		{"the page by POST", post("/", ""), 405, ""},
		{"a trace with a filter beyond bounds", get("/api/v1/trace?topic=" + strings.Repeat("x", 2000)), 400, "at most 1000 bytes"},
		{"no things are an empty list", get("/api/v1/things?prefix=none"), 200, `"things":[]`},
		{"a limit that is none", get("/api/v1/things?limit=-1"), 400, "expected a number"},
		{"a limit beyond bounds", get("/api/v1/things?limit=1000000"), 400, "expected a number"},
		{"a thing", get("/api/v1/things/pump-1"), 200, `"name":"pump-1"`},
		{"an unknown thing", get("/api/v1/things/x"), 404, "no Thing"},
		{"an unknown path", get("/x"), 404, "nothing here"},
		{"a call", post(services+"Reset", `{"hard":true}`), 200, `{"result":{"inputs":{"hard":true},"thing":"pump-1"}}`},
		{"a call without a body", post(services+"Reset", ""), 200, `"inputs":{}`},
		{"a call with a list", post(services+"Reset", "[]"), 400, "not a JSON object"},
		{"a call with broken JSON", post(services+"Reset", `{"a":`), 400, "not a JSON object"},
		{"a call that is too large", post(services+"Reset", `{"a":"`+strings.Repeat("x", 2<<20)+`"}`), 413, "more than"},
		{"a call that the device refuses", post(services+"Refuse", "{}"), 404, "refused"},
		{"a call that fails otherwise", post(services+"Break", "{}"), 500, "broken"},
		{"an error that claims success", post(services+"Odd", "{}"), 500, "refused"},
		{"a call by GET changes nothing", get(services + "Reset"), 405, ""},
		{"a probe by POST", post("/healthz", ""), 405, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			o.AllowCalls = true
			w := serve(t, o, c.request)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Fatalf("%d %s, expected %d with %s", w.Code, w.Body, c.status, c.body)
			}
			for _, h := range []string{"X-Content-Type-Options", "Content-Security-Policy", "X-Frame-Options", "Referrer-Policy", "Cache-Control"} {
				if w.Header().Get(h) == "" {
					t.Errorf("no header %s", h)
				}
			}
			if w.Header().Get("Set-Cookie") != "" {
				t.Error("a cookie")
			}
		})
	}
}

func TestOperating(t *testing.T) {
	s := &source{links: []Link{}}
	with := func(r *http.Request, key, value string) *http.Request { r.Header.Set(key, value); return r }
	other := func(method, path string) *http.Request { r := get(path); r.Method = method; return r }
	const reload, log = "/api/v1/reload", "/api/v1/log"
	for _, c := range []struct {
		name            string
		request         *http.Request
		status          int
		body            string
		reloads, levels int32
	}{
		{"how the configuration stands", get(reload), 200, `{"file":"f.yaml"}`, 0, 0},
		{"a reload", post(reload, ""), 200, `{"ok":true}`, 1, 0},
		{"a reload with an object", post(reload, "{}"), 200, `{"ok":true}`, 1, 0},
		{"a reload with a list", post(reload, "[]"), 400, "not a JSON object", 0, 0},
		{"a reload as a form", with(post(reload, "{}"), "Content-Type", "text/plain"), 415, "Content-Type", 0, 0},
		{"a reload of another site's page", with(post(reload, "{}"), "Origin", "https://evil.example"), 403, "", 0, 0},
		{"a reload that is too large", post(reload, `{"a":"`+strings.Repeat("x", 2<<20)+`"}`), 413, "more than", 0, 0},
		{"no reload by PUT", other("PUT", reload), 405, "only GET and POST", 0, 0},
		{"how the log is set", get(log), 200, `{"level":"info"}`, 0, 0},
		{"how the log is set, by HEAD", other("HEAD", log), 200, "", 0, 0},
		{"another level", post(log, `{"level": "debug"}`), 200, `{"level":"debug"}`, 0, 1},
		{"a level that is none", post(log, `{"level": 5}`), 400, "the body does not fit", 0, 0},
		{"a key that is none", post(log, `{"levl": "debug"}`), 400, "levl", 0, 0},
		{"a level by another site's page", with(post(log, `{"level": "debug"}`), "Sec-Fetch-Site", "cross-site"), 403, "", 0, 0},
		{"no level by DELETE", other("DELETE", log), 405, "only GET and POST", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.reloads.Store(0)
			s.levels.Store(0)
			o := options()
			o.Source = s // and calls are not allowed: neither is one
			w := serve(t, o, c.request)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %s, expected %d with %s", w.Code, w.Body, c.status, c.body)
			}
			if w.Code == 405 && w.Header().Get("Allow") != "GET, POST" {
				t.Errorf("Allow: %q", w.Header().Get("Allow"))
			}
			if s.reloads.Load() != c.reloads || s.levels.Load() != c.levels {
				t.Errorf("%d reloads and %d levels", s.reloads.Load(), s.levels.Load())
			}
		})
	}
	t.Run("a Source that is not operated has no such routes", func(t *testing.T) {
		o := options()
		o.Source = struct{ Source }{s}
		for _, path := range []string{reload, log} {
			if w := serve(t, o, get(path)); w.Code != 404 {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	})
}

func TestReadyzTellsWhatIsMissing(t *testing.T) {
	o := options()
	o.Source = &source{links: []Link{{Name: "mqtt", Up: true}, {Name: "platform", Reason: "application key refused"}}}
	w := serve(t, o, get("/readyz"))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "application key refused") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestWhoIsLetIn(t *testing.T) {
	with := func(r *http.Request, set func(*http.Request)) *http.Request { set(r); return r }
	bearer := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s) }
	}
	basic := func(u, p string) func(*http.Request) { return func(r *http.Request) { r.SetBasicAuth(u, p) } }
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	locked := func(o *Options) { o.Token, o.Username, o.Password = "T", "u", "p" }
	none := func(*Options) {}
	const call = "/api/v1/things/pump-1/services/Reset"
	cases := []struct {
		name    string
		options func(*Options)
		request *http.Request
		status  int
	}{
		{"anybody on loopback", none, get("/api/v1/status"), 200},
		{"a foreign name on loopback", none, with(get("/api/v1/status"), host("evil.example")), 421},
		{"a foreign name for metrics", none, with(get("/metrics"), host("evil.example:8480")), 421},
		{"an empty Host", none, with(get("/api/v1/status"), host("")), 421},
		{"a listed name", func(o *Options) { o.Hosts = []string{"Bridge.Example"} }, with(get("/api/v1/status"), host("bridge.example:80")), 200},
		{"IPv6 loopback", none, with(get("/api/v1/status"), host("[::1]:8480")), 200},
		{"a probe under any name", none, with(get("/healthz"), host("10-1-2-3.pod")), 200},
		{"readiness under any name", locked, with(get("/readyz"), host("10-1-2-3.pod")), 200},
		{"public metrics under any name", func(o *Options) { locked(o); o.MetricsPublic = true }, with(get("/metrics"), host("x")), 200},
		{"metrics without the token", locked, get("/metrics"), 401},
		{"metrics with the token under any name", locked, with(with(get("/metrics"), bearer("T")), host("bridge")), 200},
		{"no credentials", locked, get("/api/v1/status"), 401},
		{"the token", locked, with(get("/api/v1/status"), bearer("T")), 200},
		{"a wrong token", locked, with(get("/api/v1/status"), bearer("t")), 401},
		{"an empty token where none is set", func(o *Options) { o.Username, o.Password = "u", "p" }, with(get("/api/v1/status"), bearer("")), 401},
		{"the password", locked, with(get("/api/v1/status"), basic("u", "p")), 200},
		{"a wrong password", locked, with(get("/api/v1/status"), basic("u", "x")), 401},
		{"a wrong user", locked, with(get("/api/v1/status"), basic("x", "p")), 401},
		{"the token as password", locked, with(get("/api/v1/status"), basic("u", "T")), 401},
		{"an address as Host, with a password", locked, with(with(get("/api/v1/status"), basic("u", "p")), host("192.0.2.1:8480")), 200},
		{"a call of another site's page", none, with(post(call, "{}"), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), 403},
		{"a call of another origin", none, with(post(call, "{}"), func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }), 403},
		{"a call as a form", none, with(post(call, "{}"), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 415},
		{"a call without a type", none, with(post(call, "{}"), func(r *http.Request) { r.Header.Del("Content-Type") }), 415},
		{"a call", none, post(call, "{}"), 200},
		{"a call where calls are off", func(o *Options) { o.AllowCalls = false }, post(call, "{}"), 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			o.AllowCalls = true
			c.options(&o)
			if w := serve(t, o, c.request); w.Code != c.status {
				t.Fatalf("%d %s, expected %d", w.Code, w.Body, c.status)
			}
		})
	}
}

func TestItRefusesToBeOpenToTheNetwork(t *testing.T) {
	for _, listen := range []string{":8480", "0.0.0.0:8480", "[::]:8480", "192.0.2.1:8480", "example.com:8480"} {
		o := options()
		o.Listen = listen
		if _, err := New(o); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", listen, err)
		}
		o.Token = "T"
		if _, err := New(o); err != nil {
			t.Errorf("%s with a token: %v", listen, err)
		}
	}
	for name, change := range map[string]func(*Options){
		"a user without a password": func(o *Options) { o.Username = "u" },
		"no port":                   func(o *Options) { o.Listen = "localhost" },
		"no source":                 func(o *Options) { o.Source = nil },
	} {
		o := options()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestTooManyCallsAreRefusedAndEachHasItsTime(t *testing.T) {
	o := options()
	s := &source{block: make(chan struct{})}
	o.Source, o.AllowCalls, o.Calls, o.CallTimeout = s, true, 1, 100*time.Millisecond
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/things/pump-1/services/"
	first := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { defer close(done); c.handler.ServeHTTP(first, post(path+"Wait", "{}")) }()
	<-s.block
	second := httptest.NewRecorder()
	c.handler.ServeHTTP(second, post(path+"Reset", "{}"))
	if second.Code != 503 {
		t.Errorf("the second call got %d", second.Code)
	}
	<-done
	if first.Code != 504 {
		t.Errorf("the call without an answer got %d %s", first.Code, first.Body)
	}
}

func TestItServesAndEnds(t *testing.T) {
	c, err := New(options())
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr() != nil {
		t.Fatal("an address before Listen")
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + c.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(b), "alive") {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	resp.Body.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not end")
	}
	if _, err := net.Dial("tcp", c.Addr().String()); err == nil {
		t.Fatal("it still listens")
	}
}

// FuzzRequests sends each request without the token and with it: the first reaches
// nothing, and neither may stop the console, or change anything but by POST.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/api/v1/things/p/services/S", "localhost", "application/json", `{"a":1}`)
	f.Add("GET", "/api/v1/things?limit=1", "127.0.0.1:80", "", "")
	f.Add("GET", "/%2e%2e/api//v1/things/%00", "[::1", "x", "{")
	f.Add("GET", "/api/v1/trace?topic=a/%23&thing=p", "localhost", "", "")
	f.Add("POST", "/api/v1/reload", "localhost", "application/json", "{}")
	f.Add("POST", "/api/v1/log", "localhost", "application/json; charset=utf-8", `{"level": "debug"}`)
	f.Add("POST", "/api/v1/log", "localhost", "application/json", `{"level": 5}{}`)
	f.Add("DELETE", "/api/v1/log", "localhost", "application/json", "")
	o := options()
	s := &source{bridge: newBridge(f)}
	o.Source, o.AllowCalls, o.Token = s, true, "T"
	c, err := New(o)
	if err != nil {
		f.Fatal(err)
	}
	over, cancel := context.WithCancel(f.Context())
	cancel() // traces and calls that wait end at once
	f.Fuzz(func(t *testing.T, method, target, host, kind, body string) {
		for _, token := range []string{"", "T"} {
			r, err := http.NewRequestWithContext(over, method, "http://h"+target, strings.NewReader(body))
			if err != nil {
				return
			}
			r.Host = host
			r.Header.Set("Content-Type", kind)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			changes := s.reloads.Load() + s.levels.Load()
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, r)
			open := r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/page/")
			if token == "" && w.Code == 200 && !open {
				t.Fatalf("%s %q was let in without the token", method, target)
			}
			if changed := s.reloads.Load()+s.levels.Load() != changes; changed && (token == "" || method != http.MethodPost) {
				t.Fatalf("%s %q changed something, token %q", method, target, token)
			}
			if kind := w.Header().Get("Content-Type"); strings.HasPrefix(kind, "application/json") && method != http.MethodHead && !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %q: %d with what is no JSON: %q", method, target, w.Code, w.Body)
			}
		}
	})
}

func TestTheLogTellsWhereItListens(t *testing.T) {
	for _, token := range []string{"", "secret"} {
		var log bytes.Buffer
		o := options()
		o.Token, o.Logger = token, slog.New(slog.NewTextHandler(&log, nil))
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("msg=\"console listens\" address=%s log_in=%v\n", c.Addr(), token != "")
		if text := log.String(); !strings.Contains(text, want) || strings.Contains(text, "secret") {
			t.Errorf("the log has no %q: %s", want, text)
		}
	}
}
