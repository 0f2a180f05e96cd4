package edgethings_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"thingbridge/bridge/devicesim"
	"thingbridge/bridge/edgethings"
	"thingbridge/edge/alwayson"
)

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

// slowAgent is an agent whose answers the test gives.
type slowAgent struct {
	*httptest.Server
	asked chan string
	turn  chan func(http.ResponseWriter)
}

// slowAgent registers one that has a second for each answer.
func (r *rig) slowAgent(name string) *slowAgent { return r.slowAgentWithin(name, time.Second) }

func (r *rig) slowAgentWithin(name string, timeout time.Duration) *slowAgent {
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
	mustBe(r.t, r.add(fmt.Sprintf(`{"name":%q,"port":%q,"timeout":%d}`, name, port, timeout.Milliseconds())), "null")
	r.waitWanted(name, true)
	return a
}

func ok(http.ResponseWriter) {}

func TestRequestsBeyondTheBoundsAreRefusedAtOnce(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.Calls, o.CallsPerThing = 3, 2 })
	one, two := r.slowAgent("one"), r.slowAgentWithin("two", 20*time.Second)
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

func TestOtherLimitsHoldForTheNextRequest(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.Calls, o.CallsPerThing = 3, 1 })
	one := r.slowAgentWithin("one", 20*time.Second)
	service := func() chan *alwayson.Response {
		return r.start("one", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "one", "S", nil))
	}
	first := service()
	<-one.asked
	mustFail(t, <-service(), alwayson.ServiceUnavailable, "one is busy: 1 requests are in flight (limits.calls_per_thing)")
	r.m.SetLimits(edgethings.Limits{Calls: 2, CallsPerThing: 2, MaxBody: 10})
	second := service()
	<-one.asked
	mustFail(t, <-service(), alwayson.ServiceUnavailable, "the bridge is full: 2 requests to edge things are in flight (limits.calls)")
	one.turn <- ok
	one.turn <- ok
	mustBe(t, <-first, "null")
	mustBe(t, <-second, "null")
	long := service()
	<-one.asked
	one.turn <- func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"result":"longer than that"}`) }
	mustFail(t, <-long, alwayson.BadGateway, "over 10 bytes")
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
