package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge/httpd"
	"thingbridge/edge/alwayson"
)

const pump = "/Thingworx/Things/pump-1/"

func TestRequestsAreForwarded(t *testing.T) {
	w := begin(t, nil)
	w.want(200, "", "PUT", pump+"Properties/note", `{"note":"泵 \"1\""}`)
	if _, text, h := w.do("GET", pump+"Properties/note", ""); result(t, text)["note"] != `泵 "1"` || h.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%s %v", text, h)
	}
	w.want(200, "", "PUT", pump+"Properties/*", `{"note":"x","level":7}`)
	if _, text, _ := w.do("GET", pump+"Properties", ""); result(t, text)["level"] != 7.0 || result(t, text)["note"] != "x" {
		t.Error(text)
	}
	w.want(400, "does not fit", "PUT", pump+"Properties/level", `{"level":"x"}`)
	if _, text, _ := w.do("POST", pump+"Services/Add", `{"a":2,"b":3}`); result(t, text)["result"] != 5.0 {
		t.Error(text)
	}
	w.want(400, "parameter [a] does not fit base type INTEGER", "POST", pump+"Services/Add", `{"a":"x","b":3}`)
	w.want(404, "no Nix", "POST", pump+"Services/Nix", "")
	w.want(404, "thing [nobody] does not exist", "GET", "/Thingworx/Things/nobody/Properties/x", "")
	w.want(200, `"name":"pump-1"`, "POST", "/Thingworx/Resources/SearchFunctions/Services/SearchModelEntities", `{"searchExpression":"pump*"}`)
	if n := counted(w.rest, outcomeOK); n != 6 {
		t.Errorf("%v requests ended well, want 6", n)
	}
	if n := counted(w.rest, outcomeRefused); n != 4 {
		t.Errorf("%v requests were refused by the platform, want 4", n)
	}
}

func TestWhatIsNotARequestOfThePlatforms(t *testing.T) {
	w := begin(t, func(o *Options) { o.MaxMessage = 4096 })
	w.want(404, "expected /Thingworx/", "GET", "/Thingworx/Things", "")
	w.want(404, "paths begin with /Thingworx", "GET", "/", "")
	w.want(404, "no such collection: Mashups", "GET", "/Thingworx/Mashups/a/Properties", "")
	w.want(405, "called with POST", "GET", pump+"Services/Add", "")
	w.want(405, "read with GET", "DELETE", pump+"Properties/note", "")
	w.want(406, "only application/json", "GET", pump+"Properties/note", "", "Accept", "text/html,application/xhtml+xml")
	w.want(200, "", "GET", pump+"Properties/note", "", "Accept", "text/html, */*;q=0.8")
	w.want(406, "", "GET", pump+"Properties/note", "", "Accept", "application/json;q=0")
	w.want(415, "Content-Type", "POST", pump+"Services/Add", "a=2", "Content-Type", "text/plain")
	w.want(400, "no JSON object", "POST", pump+"Services/Add", "[1]")
	w.want(413, "4096", "POST", pump+"Services/Add", `{"a":"`+strings.Repeat("x", 5000)+`"}`)
	if status, body, h := w.do("OPTIONS", pump+"Services/Add", ""); status != 204 || body != "" || h.Get("Allow") != "POST, OPTIONS" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS: %d %s %v", status, body, h)
	}
	if status, body, h := w.do("HEAD", pump+"Properties/note", ""); status != 200 || body != "" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
		t.Errorf("HEAD: %d %s %v", status, body, h)
	}
	// What such clients send beside is taken and not needed.
	w.want(200, "", "GET", pump+"Properties/note?appKey=x", "", "appKey", appKey, "x-thingworx-session", "true", "X-XSRF-TOKEN", "TWX-XSRF-TOKEN-VALUE")
}

func TestATooLargeMessageIsRefusedWhereItsBodyIsNot(t *testing.T) {
	// The body fits its own bound, the message that it becomes does not fit the connection's.
	w := begin(t, func(o *Options) { o.MaxMessage = 4 << 20 })
	w.want(413, "message larger than the maximum message size", "POST", pump+"Services/Add", `{"x":"`+strings.Repeat("x", 2<<20)+`"}`)
}

func TestWhoIsLetIn(t *testing.T) {
	w := begin(t, func(o *Options) { o.Token, o.Username, o.Password = token, "u", "p" })
	basic := func(u, p string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(u, p)
		return r.Header.Get("Authorization")
	}
	const path = pump + "Properties/note"
	for _, c := range []struct {
		name   string
		status int
		header []string
	}{
		{"nobody", 401, nil},
		{"the token as a bearer", 200, []string{"Authorization", "Bearer " + token}},
		{"the token as an application key, for clients that can send nothing else", 200, []string{"appKey", token}},
		{"the password", 200, []string{"Authorization", basic("u", "p")}},
		{"the application key as such", 401, []string{"appKey", appKey}},
		{"the application key as a bearer", 401, []string{"Authorization", "Bearer " + appKey}},
		{"the application key as a password", 401, []string{"Authorization", basic("u", appKey)}},
		{"an empty application key", 401, []string{"appKey", ""}},
		{"who logs in, under any name", 200, []string{"appKey", token, "Host", "bridge.example"}},
		{"nobody, under another name", 421, []string{"Host", "evil.example"}},
		{"another site's page with the token", 403, []string{"appKey", token, "Sec-Fetch-Site", "cross-site"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, body := "GET", ""
			if c.status == 403 {
				method, body = "PUT", `{"note":"x"}`
			}
			status, text, _ := w.do(method, path, body, c.header...)
			if status != c.status || strings.Contains(text, appKey) || strings.Contains(text, token) {
				t.Fatalf("%d %s, want %d", status, text, c.status)
			}
		})
	}
	w.want(401, "", "GET", path+"?appKey="+token, "")
	if n := counted(w.rest, outcomeUnauthorized); n != 6 {
		t.Errorf("%v without a log-in, want 6", n)
	}
}

func TestItRefusesToBeOpenToTheNetwork(t *testing.T) {
	for _, listen := range []string{":8000", "0.0.0.0:8000", "192.0.2.1:8000"} {
		if _, err := New(Options{Listen: listen, Platform: silent{}}); !errors.Is(err, httpd.ErrOpen) {
			t.Errorf("%s: %v", listen, err)
		}
		if _, err := New(Options{Listen: listen, Platform: silent{}, Token: token}); err != nil {
			t.Errorf("%s with a token: %v", listen, err)
		}
	}
	if _, err := New(Options{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("no platform was accepted")
	}
}

func TestWhatNoRuleNamesIsDenied(t *testing.T) {
	w := begin(t, func(o *Options) { o.Allow = rules(t, "GET Things/pump-*/Properties/note", "Things/*/Services/Add") })
	w.want(200, "", "GET", "/Thingworx/Things/PUMP-1/Properties/note", "")
	w.want(200, "", "POST", pump+"Services/Add", `{"a":1,"b":2}`)
	before := w.platform.Stats().Requests
	w.want(403, "PUT Things/pump-1/Properties/note is not among rest.allow", "PUT", pump+"Properties/note", `{"note":"x"}`)
	w.want(403, "GET Things/pump-1/Properties is not among rest.allow", "GET", pump+"Properties", "")
	w.want(403, "POST Resources/EntityServices/Services/DeleteThing", "POST", "/Thingworx/Resources/EntityServices/Services/DeleteThing", `{"name":"pump-1"}`)
	if w.platform.Stats().Requests != before || counted(w.rest, outcomeDenied) != 3 {
		t.Error("what is denied was sent, or not counted")
	}
	if none, err := New(Options{Listen: "127.0.0.1:0", Platform: silent{}}); err != nil {
		t.Fatal(err)
	} else if got := answered(none, "GET", pump+"Properties"); got.Code != 403 {
		t.Errorf("without rules: %d %s", got.Code, got.Body)
	}
}

// silent is a platform that never answers.
type silent struct{}

func (silent) Start(alwayson.Code, *alwayson.Request, time.Duration, func(*alwayson.Response, error)) {
}

// failing is a platform that ends each request with an error.
type failing struct{ err error }

func (f failing) Start(_ alwayson.Code, _ *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	done(nil, f.err)
}

func answered(r *REST, method, path string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, path, nil)
	q.Host = "localhost"
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	return w
}

func TestEachErrorOfTheConnectionHasItsStatus(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		status  int
		words   string
		outcome string
	}{
		{"not connected", alwayson.ErrNotConnected, 503, "nothing was sent", outcomeUnavailable},
		{"too many", alwayson.ErrBusy, 503, "the bridge is full", outcomeFull},
		{"no answer", alwayson.ErrNoAnswer, 504, "it may have acted", outcomeTimeout},
		{"lost", alwayson.ErrConnectionLost, 502, "it may have acted", outcomeLost},
		{"an answer that cannot be read", &alwayson.DecodeError{What: "string", Err: alwayson.ErrTruncated}, 502, "decode string", outcomeLost},
		{"a request that cannot be written", &alwayson.EncodeError{What: "cell", Err: alwayson.ErrBadType}, 400, "encode cell", outcomeInvalid},
		{"too large", alwayson.ErrTooLarge, 413, "larger", outcomeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(Options{Listen: "127.0.0.1:0", Platform: failing{c.err}, Allow: rules(t, "*")})
			if err != nil {
				t.Fatal(err)
			}
			w := answered(r, "GET", pump+"Properties/x")
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.words) || counted(r, c.outcome) != 1 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if r.load.inFlight.Load() != 0 || r.load.bodies.Load() != 0 {
				t.Error("it still counts as under way")
			}
		})
	}
}

func TestWithoutAConnectionItIs503UntilThereIsOneAgain(t *testing.T) {
	w := begin(t, nil)
	<-w.device.up
	w.platform.SetFault(cutFor(time.Hour))
	<-w.device.down
	status, text, h := w.do("GET", pump+"Properties/note", "")
	if status != 503 || !strings.Contains(text, "no connection to the platform") || h.Get("Retry-After") == "" {
		t.Errorf("%d %s", status, text)
	}
	w.platform.ClearFaults()
	<-w.device.up
	w.want(200, "", "GET", pump+"Properties/note", "")
}

func TestACallThatIsNotAnsweredEndsAtItsTime(t *testing.T) {
	w := begin(t, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	began := time.Now()
	w.want(504, "no answer from the platform in time (50ms); it may have acted", "POST", pump+"Services/Hold", "")
	if took := time.Since(began); took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	(<-w.device.held)()
	w.want(200, "", "GET", pump+"Properties/note", "")
}

func TestACallUnderWayWhenTheConnectionIsLostMayHaveActed(t *testing.T) {
	w := begin(t, nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.want(502, "it may have acted", "POST", pump+"Services/Hold", "")
	}()
	<-w.device.held
	w.platform.SetFault(cutFor(0))
	<-ended
}

func TestWhatTheBridgeAnswersItselfNeedsNoRuleAndNoConnection(t *testing.T) {
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: failing{alwayson.ErrNotConnected}, Local: ems{}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, key string
		status    int
		words     string
	}{
		{"/Thingworx/Things/LocalEms/Services/GetEdgeThings", token, 200, "POST GetEdgeThings"},
		{"/Thingworx/Things/LocalEms/Services/GetEdgeThings", "", 401, "is needed"},
		{"/Thingworx/Resources/LocalEms/Services/GetEdgeThings", token, 403, "rest.allow"},
		{"/Thingworx/Things/other/Services/GetEdgeThings", token, 403, "rest.allow"},
	} {
		q := httptest.NewRequest("POST", c.path, nil)
		q.Host = "localhost"
		q.Header.Set("appKey", c.key)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
	}
	if counted(r, outcomeLocal) != 1 {
		t.Error("it was not counted")
	}
}

func TestOtherRulesAreUsedFromOneRequestToTheNext(t *testing.T) {
	w := begin(t, func(o *Options) { o.Token = token })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.want(200, "held", "POST", pump+"Services/Hold", "", "appKey", token)
	}()
	release := <-w.device.held
	o := w.rest.opt
	o.Token, o.Allow, o.InFlight = "another", rules(t, "Things/*/Properties"), 1
	made, err := w.rest.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	w.rest.Use(made)
	w.want(401, "", "GET", pump+"Properties/note", "", "appKey", token)
	w.want(503, "1 requests", "GET", pump+"Properties/note", "", "appKey", "another")
	release()
	<-ended
	await(t, "the place is free", func() bool { return w.rest.load.inFlight.Load() == 0 })
	w.want(200, "", "GET", pump+"Properties/note", "", "appKey", "another")
	w.want(403, "", "POST", pump+"Services/Add", "", "appKey", "another")
	o.Token, o.Listen = "", "0.0.0.0:8000"
	if _, err := w.rest.Prepare(o); !errors.Is(err, httpd.ErrOpen) {
		t.Errorf("open to the network: %v", err)
	}
}

// limited is a writer that remembers until when it may be written.
type limited struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (w *limited) SetWriteDeadline(t time.Time) error { w.until = t; return nil }

func TestALongerTimeForTheAnswerCountsForTheCallerToo(t *testing.T) {
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: failing{alwayson.ErrNotConnected}, Allow: rules(t, "*"), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	o := r.opt
	o.Timeout = 5 * time.Minute
	made, err := r.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Use(made)
	q := httptest.NewRequest("GET", pump+"Properties/note", nil)
	q.Host = "localhost"
	w := &limited{ResponseRecorder: httptest.NewRecorder()}
	r.ServeHTTP(w, q)
	if w.Code != 503 || time.Until(w.until) < o.Timeout {
		t.Errorf("%d; it may be written until %v", w.Code, w.until)
	}
}

func TestTheLogHasTwoLinesForAnEpisode(t *testing.T) {
	var log bytes.Buffer
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: silent{}, Token: token, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if w := answered(r, "GET", pump+"Properties?appKey=secret"); w.Code != 401 {
			t.Fatal(w.Code)
		}
	}
	r.episodes.end(0)
	text := log.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "count=1000") || strings.Contains(text, "secret") {
		t.Errorf("the log:\n%s", text)
	}
}

func TestALongNameIsNotLoggedAsAWhole(t *testing.T) {
	var log bytes.Buffer
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: silent{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if w := answered(r, "GET", pump+"Properties/"+strings.Repeat("x", 15_000)); w.Code != 403 {
		t.Fatal(w.Code)
	}
	if n := log.Len(); n == 0 || n > 1000 {
		t.Errorf("%d bytes were logged", n)
	}
}

func TestItEndsWithRequestsUnderWay(t *testing.T) {
	w := begin(t, func(o *Options) { o.StopTimeout = 20 * time.Millisecond })
	req, err := http.NewRequest("POST", w.base+pump+"Services/Hold", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := w.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-w.device.held
	w.stop()
	<-ended
	if n := w.rest.load.inFlight.Load(); n != 0 {
		t.Errorf("%d are still under way", n)
	}
}

// FuzzRequests feeds requests: none is a panic, none without the token is let
// in, and none is forwarded that no rule names.
func FuzzRequests(f *testing.F) {
	f.Add("POST", pump+"Services/Add", "localhost", "application/json", `{"a":1}`, true)
	f.Add("PUT", pump+"Properties/%2A", "127.0.0.1:80", "application/json", `{"note":1,"level":{"a":[]}}`, true)
	f.Add("PUT", "/Thingworx/Things/pump-1/Properties", "localhost", "application/json", `{"note":{}}`, true)
	f.Add("GET", "/%2e%2e/Thingworx//Things/%00", "[::1", "x", "{", false)
	allowed := rules(f, "Things/pump-1/Properties/note", "Things/pump-1/Services/Add")
	seen := &recorder{}
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: seen, Token: token, Allow: allowed})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, host, kind, body string, known bool) {
		q, err := http.NewRequest(method, "http://h"+target, strings.NewReader(body))
		if err != nil {
			return
		}
		q.Host = host
		q.Header.Set("Content-Type", kind)
		if known {
			q.Header.Set("appKey", token)
		}
		seen.last = nil
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		switch {
		case !known && w.Code != 401 && w.Code != 421:
			t.Fatalf("%s %q was let in without the token: %d", method, target, w.Code)
		case seen.last == nil:
		case !strings.EqualFold(seen.last.Entity, "pump-1"), seen.last.EntityType != alwayson.EntityThing, seen.last.Characteristic == alwayson.Events:
			t.Fatalf("%s %q was forwarded: %+v", method, target, seen.last)
		case seen.method == alwayson.Put:
			// A write is judged by what its body names.
			var names map[string]json.RawMessage
			if err := json.Unmarshal([]byte(seen.last.Params.Cell(0, alwayson.ContentField).Text()), &names); err != nil || len(names) == 0 {
				t.Fatalf("PUT %q was forwarded with %s: %v", target, body, err)
			}
			for name := range names {
				if !strings.EqualFold(name, "note") {
					t.Fatalf("PUT %q was forwarded with %q: %s", target, name, body)
				}
			}
		case seen.last.Name == "":
			t.Fatalf("%s %q was forwarded: %+v", method, target, seen.last)
		}
		if r.load.inFlight.Load() != 0 || r.load.bodies.Load() != 0 {
			t.Fatal("it still counts as under way")
		}
	})
}

// recorder is a platform that keeps the last request.
type recorder struct {
	method alwayson.Code
	last   *alwayson.Request
}

func (p *recorder) Start(method alwayson.Code, req *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	p.method, p.last = method, req
	done(alwayson.OK(alwayson.Value{}), nil)
}
