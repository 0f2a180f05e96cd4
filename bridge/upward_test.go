package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

const logRequest = "things/pump-1/platform/Log/request/"

func letUp(services ...string) setup {
	return func(o *bridge.Options) { o.AllowPlatform = services }
}

// ask has the device make a request upwards as the broker hands it over.
func (r *rig) ask(m bridge.Message) {
	m.QoS, m.Received = 1, time.Now()
	r.bus.jobs.add(func() { r.b.Message(&m) })
	synctest.Wait()
}

// repliesUp lists the replies to requests upwards, as "topic payload".
func (r *rig) repliesUp() []string {
	return slices.DeleteFunc(r.bus.sent(), func(s string) bool { return !strings.Contains(s, "/platform/") })
}

// mustReply wants exactly one reply to a request, and the text in it.
func (r *rig) mustReply(request, text string) {
	r.t.Helper()
	var got []string
	for _, s := range r.repliesUp() {
		if strings.Contains(s, "/reply/"+request+" ") {
			got = append(got, s)
		}
	}
	if len(got) != 1 || !strings.Contains(got[0], text) {
		r.t.Fatalf("replies to %s are %q, want one with %q", request, got, text)
	}
}

func (r *rig) upCalls() int {
	r.platform.mu.Lock()
	defer r.platform.mu.Unlock()
	return len(r.platform.calls) + len(r.platform.waiting)
}

func (p *farPlatform) manually() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manual = true
}

func TestTheWayUp(t *testing.T) {
	for _, c := range []struct {
		name, topic, payload string
		judge                func(*alwayson.Request) (*alwayson.Response, error)
		want                 string
		calls                int
	}{
		{"a service without a result", logRequest + "1", `{"text":"x"}`, nil, "things/pump-1/platform/Log/reply/1 {}", 1},
		{"a result", logRequest + "1", ``, func(*alwayson.Request) (*alwayson.Response, error) {
			return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewNumber(7)))), nil
		}, `{"result":7}`, 0},
		{"the platform's own error", logRequest + "1", ``, func(*alwayson.Request) (*alwayson.Response, error) {
			return alwayson.Fail(alwayson.NotFound, "service Log does not exist"), nil
		}, `{"error":{"code":404,"message":"service Log does not exist"}}`, 0},
		{"no answer in time", logRequest + "1", ``, func(*alwayson.Request) (*alwayson.Response, error) {
			return nil, fmt.Errorf("%w (30s)", alwayson.ErrNoAnswer)
		}, `"code":504`, 0},
		{"a request that does not fit into a message", logRequest + "1", ``, func(*alwayson.Request) (*alwayson.Response, error) {
			return nil, alwayson.ErrTooLarge
		}, `"code":413`, 0},
		{"a service that is not let through", "things/pump-1/platform/Delete/request/1", `{}`, nil, `"code":403,"message":"service \"Delete\" is not among allow.platform"`, 0},
		{"inputs that are no object", logRequest + "1", `[1]`, nil, `"code":400`, 0},
		{"a device that has not announced itself", "things/pump-2/platform/Log/request/1", `{}`, nil, `"code":404,"message":"this device has not announced itself"`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), func(r *rig) {
				r.retained(announce, `{}`)
				r.platform.judge = c.judge
				r.live(c.topic, c.payload)
				r.mustReply("1", c.want)
				if n := r.upCalls(); n != c.calls {
					t.Errorf("the platform was called %d times", n)
				}
			}, letUp("Log"))
		})
	}
}

func TestADeviceActsForAThingOnlyThatThePlatformHasBound(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.platform.refuse = map[string]string{"pump-2": "it is no remote thing", "*SN9": "it is bound by another connection"}
		r.retained(announce, `{}`)
		r.live(logRequest+"1", `{}`)
		r.mustReply("1", " {}")
		r.live("things/pump-2/announce", `{}`)
		r.live("things/pump-2/platform/Log/request/2", `{}`)
		r.mustReply("2", `"code":503,"message":"the platform refuses to bind this device's Thing: it is no remote thing"`)
		r.live(announce, `{"identifier":"SN9"}`)
		r.live(logRequest+"3", `{}`)
		r.mustReply("3", `"code":503,"message":"the platform refuses to bind this device's Thing: it is bound by another connection"`)
		if n := r.upCalls(); n != 1 {
			t.Errorf("the platform was called %d times", n)
		}
	}, letUp("Log"))
}

func TestARequestUpwardsWithAnEndlessNameIsRefused(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.live(logRequest+strings.Repeat("9", 256), `{}`)
		r.mustReply(strings.Repeat("9", 256), `"code":400`)
		if n := r.upCalls(); n != 0 {
			t.Errorf("the platform was called %d times", n)
		}
	}, letUp("Log"))
}

func TestAResultThatIsEndlessAsJSONIsNotMade(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: strings.Repeat("n", 100_000), Type: alwayson.TypeBoolean}}}
		for range 100_000 { // 10 GB
			table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewBoolean(true)})
		}
		r.platform.judge = func(req *alwayson.Request) (*alwayson.Response, error) {
			return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewTable(table)))), nil
		}
		r.retained(announce, `{}`)
		r.live(logRequest+"1", `{}`)
		r.mustReply("1", `"code":413`)
	}, letUp("Log"))
}

func TestInputsOfTheWayUp(t *testing.T) {
	for _, c := range []struct{ name, payload, want string }{
		{"by their looks", `{"b":true,"a":1,"n":null,"list":[{"x":1}]}`, `{"a":1,"b":true,"list":[{"x":1}]}`},
		{"an info table", `{"t":{"dataShape":{"fieldDefinitions":{"at":{"name":"at","baseType":"DATETIME"}}},"rows":[{"at":1700000000000}]}}`, `{"t":[{"at":"2023-11-14T22:13:20.000Z"}]}`},
		{"one that says its type", `{"at":{"baseType":"DATETIME","value":1700000000000}}`, `{"at":"2023-11-14T22:13:20.000Z"}`},
		{"all of them as an info table", `{"dataShape":{"fieldDefinitions":{"at":{"name":"at","baseType":"DATETIME"}}},"rows":[{"at":1700000000000}]}`, `{"at":"2023-11-14T22:13:20.000Z"}`},
		{"one that is not of the type it says", `{"n":{"baseType":"INTEGER","value":"many"}}`, `"code":400,"message":"input \"n\": `},
		{"more rows than one", `{"dataShape":{"fieldDefinitions":{}},"rows":[{"a":1},{"a":2}]}`, `"code":400,"message":"parameters: 2 rows where one is expected"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), func(r *rig) {
				r.retained(announce, `{}`)
				r.live(logRequest+"1", c.payload)
				if strings.Contains(c.want, "code") {
					r.mustReply("1", c.want)
					return
				}
				r.mustReply("1", "{}")
				got := string(mapping.AppendJSON(nil, alwayson.NewTable(r.platform.calls[0].Params)))
				if got != "["+c.want+"]" {
					t.Errorf("the platform got %s, want %s", got, c.want)
				}
			}, letUp("Log"))
		})
	}
}

// A row has a cell for every column, so that a short input can be a large table.
func TestTheTablesOfInputsUpwardsAreBoundedTogether(t *testing.T) {
	input := `{"dataShape":{"fieldDefinitions":{}},"rows":` + table(400) + `}`
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.live(logRequest+"1", `{"a":`+input+`,"b":`+input+`,"c":`+input+`}`)
		r.mustReply("1", `"code":400,"message":"input \"c\": the tables of the inputs have more than 500000 cells`)
		r.live(logRequest+"2", `{"a":`+input+`,"b":`+input+`}`)
		r.mustReply("2", `{}`)
	}, letUp("Log"))
}

func TestARequestUpwardsThatComesTwiceIsCalledOnce(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.platform.manually()
		request := bridge.Message{Topic: logRequest + "1", Session: 1}
		r.ask(request)
		r.ask(request) // the device is impatient
		again := bridge.Message{Topic: logRequest + "1", Session: 2, Dup: true}
		r.ask(again) // the broker has not seen the acknowledgement
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.ask(again)
		r.mustReply("1", "{}")
		if n := r.upCalls(); n != 1 {
			t.Errorf("the platform was called %d times", n)
		}
		r.ask(request) // a new request that uses the id again
		if n := r.upCalls(); n != 2 {
			t.Errorf("a new request with an old id was not called")
		}
	}, letUp("Log"))
}

func TestARequestUpwardsThatAnEarlierProcessMayHaveCalledIsRefused(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.ask(bridge.Message{Topic: logRequest + "1", Session: 1, Dup: true})
		r.mustReply("1", "does not know whether it was called")
		r.ask(bridge.Message{Topic: logRequest + "2", Session: 2, Dup: true})
		r.mustReply("2", "{}")
		if n := r.upCalls(); n != 1 {
			t.Errorf("the platform was called %d times", n)
		}
	}, letUp("Log"))
}

func TestARetainedRequestUpwardsIsNeitherCalledNorAnswered(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.retained(logRequest+"1", `{}`)
		if n, sent := r.upCalls(), r.repliesUp(); n != 0 || len(sent) != 0 {
			t.Errorf("called %d times, replied %q", n, sent)
		}
		if d, _ := r.b.Thing("pump-1"); len(d.Recent) != 1 || !strings.Contains(d.Recent[0].Text, "retained") {
			t.Errorf("problems are %+v", d.Recent)
		}
	}, letUp("Log"))
}

func TestOneDeviceCannotTakeAllRequestsUpwards(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"pump-1": nil, "pump-2": nil}, func(r *rig) {
		r.retained(announce, `{}`)
		r.retained("things/pump-2/announce", `{}`)
		r.platform.manually()
		for i := range 5 {
			r.live(logRequest+num(i), `{}`)
		}
		r.mustReply("3", `"code":503,"message":"3 requests of pump-1 are in flight (limits.calls_per_thing)"`)
		r.live("things/pump-2/platform/Log/request/a", `{}`)
		r.live("things/pump-2/platform/Log/request/b", `{}`)
		r.mustReply("b", "the bridge is full: 4 requests of devices are in flight (limits.calls)")
		for range 4 {
			r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		}
		synctest.Wait()
		if n := len(r.repliesUp()); n != 7 {
			t.Errorf("7 requests got %d replies: %q", n, r.repliesUp())
		}
		r.live(logRequest+"again", `{}`)
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.mustReply("again", "{}")
	}, letUp("Log"), func(o *bridge.Options) { o.Limits.Calls, o.Limits.CallsPerThing = 4, 3 })
}

func TestAPlatformOutageEndsRequestsUpwards(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.platform.manually()
		r.live(logRequest+"1", `{}`)
		r.platform.down()
		synctest.Wait()
		r.mustReply("1", "the platform may have acted on it")
		r.live(logRequest+"2", `{}`)
		r.mustReply("2", `"code":503,"message":"not connected to the platform"`)
	}, letUp("Log"))
}

func TestStopEndsRequestsUpwards(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.platform.manually()
		r.live(logRequest+"1", `{}`)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != bridge.DefaultStopTimeout {
			t.Errorf("it stopped after %v", took)
		}
		r.mustReply("1", "the bridge stops; the platform may have acted on it")
	}, letUp("Log"))
}

func TestAReplyThatTheBrokerDoesNotTakeIsCounted(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{}`)
		r.bus.mu.Lock()
		r.bus.fail = bridge.ErrExpired
		r.bus.mu.Unlock()
		r.live(logRequest+"1", `{}`)
		if d, _ := r.b.Thing("pump-1"); len(d.Recent) != 1 || !strings.Contains(d.Recent[0].Text, `the reply to request "1" for service "Log" was not delivered`) {
			t.Errorf("problems are %+v", d.Recent)
		}
	}, letUp("Log"))
}
