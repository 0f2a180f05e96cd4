package edgethings_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

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
