package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

const declared = `{"properties":{"temp":"NUMBER","set":{"type":"NUMBER","writable":true},"echo":{"type":"NUMBER","writable":true,"confirm":"echo"},
 "rep":{"type":"NUMBER","writable":true,"confirm":"reply"},"old":{"type":"NUMBER","max_age":"10s"}},
 "services":{"Add":{"inputs":{"a":{"type":"NUMBER","required":true},"b":"NUMBER"},"output":"NUMBER"},"Quick":{"timeout":"2s"}}}`

func num1(name string, f float64) alwayson.Named {
	return alwayson.Named{Name: name, Value: alwayson.NewNumber(f)}
}

// replies has the device answer every request to its services with payload.
func (r *rig) replies(payload string) {
	r.device(func(topic string, _ []byte) {
		if at := strings.Index(topic, "/request/"); at > 0 {
			r.b.Message(&bridge.Message{Topic: topic[:at] + "/reply/" + topic[at+len("/request/"):], Payload: []byte(payload), Received: time.Now()})
		}
	})
}

func TestCallOutcomes(t *testing.T) {
	add := []alwayson.Named{num1("a", 1), num1("b", 2)}
	for _, c := range []struct {
		name    string
		service string
		inputs  []alwayson.Named
		reply   string // "" none
		wait    time.Duration
		code    alwayson.Code
		text    string
		result  string
	}{
		{"a result", "Add", add, `{"result":3}`, 0, alwayson.Success, "", "3"},
		{"success without a result", "Quick", nil, `{}`, 0, alwayson.Success, "", ""},
		{"the device's error", "Add", add, `{"error":"worn out"}`, 0, alwayson.InternalServerError, "worn out", ""},
		{"the device's error with a status", "Add", add, `{"error":{"code":404,"message":"no such valve"}}`, 0, alwayson.NotFound, "no such valve", ""},
		{"the device's error with a code of its own", "Add", add, `{"error":{"code":17,"message":"jammed"}}`, 0, alwayson.InternalServerError, "jammed (code 17)", ""},
		{"the device's error without a text", "Add", add, `{"error":" "}`, 0, alwayson.InternalServerError, "the device reports an error", ""},
		{"a reply that is none", "Add", add, `nonsense`, 0, alwayson.BadGateway, "", ""},
		{"no reply", "Add", add, "", 10 * time.Second, alwayson.GatewayTimeout, "did not answer within 10s", ""},
		{"no reply within the service's own time", "Quick", nil, "", 2 * time.Second, alwayson.GatewayTimeout, "did not answer within 2s", ""},
		{"a required input is missing", "Add", nil, `{"result":3}`, 0, alwayson.BadRequest, "a", ""},
		{"an undeclared service is relayed", "Other", nil, `{"result":"x"}`, 0, alwayson.Success, "", `"x"`},
		{"a service that is not allowed", "Secret", nil, `{"result":1}`, 0, alwayson.NotFound, "Secret", ""},
		{"a file-transfer service", "StartFileTransfer", nil, `{}`, 0, alwayson.NotImplemented, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), func(r *rig) {
				r.retained(announce, declared)
				if c.reply != "" {
					r.replies(c.reply)
				}
				answer := r.service("pump-1", c.service, c.inputs...)
				if c.wait > 0 {
					time.Sleep(c.wait - time.Millisecond)
					synctest.Wait()
					if len(answer) > 0 {
						t.Fatal("answered before its time")
					}
					time.Sleep(2 * time.Millisecond)
				}
				resp := r.answered(answer)
				if resp.Code != c.code || !strings.Contains(resp.Reason, c.text) {
					t.Fatalf("answer is %s %q, want %s %q", resp.Code, resp.Reason, c.code, c.text)
				}
				if c.code == alwayson.Success {
					got := ""
					if v := alwayson.Result(resp.Content, "result"); !v.IsNothing() {
						got = string(mapping.AppendJSON(nil, v))
					}
					if got != c.result {
						t.Errorf("result is %s, want %s", got, c.result)
					}
				}
				if n := r.b.Status().CallsInFlight; n != 0 {
					t.Errorf("%d calls are still in flight", n)
				}
				time.Sleep(time.Minute)
			}, func(o *bridge.Options) { o.DenyServices = []string{"Sec*"} })
		})
	}
}

func TestCallToAThingThatIsNotThere(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.mustFail(r.service("nobody", "X"), alwayson.NotFound, "nobody")
	})
}

func TestCallEndsWhenItsDeviceGoesOffline(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, declared)
		answer := r.service("pump-1", "Quick")
		synctest.Wait()
		r.live(status, "offline")
		r.mustFail(answer, alwayson.ServiceUnavailable, "offline")
		r.mustFail(r.service("pump-1", "Quick"), alwayson.ServiceUnavailable, "offline")
	})
}

func TestCallsOverTheLimitsEndAtOnce(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{}, func(r *rig) {
		for _, name := range []string{"a", "b"} {
			r.retained("things/"+name+"/announce", "{}")
		}
		var open []chan *alwayson.Response
		for range 2 {
			open = append(open, r.service("a", "X"))
		}
		r.mustFail(r.service("a", "X"), alwayson.ServiceUnavailable, "limits.calls_per_thing")
		open = append(open, r.service("b", "X"))
		r.mustFail(r.service("b", "X"), alwayson.ServiceUnavailable, "limits.calls)")
		time.Sleep(11 * time.Second)
		for _, c := range open {
			r.mustFail(c, alwayson.GatewayTimeout, "did not answer")
		}
	}, func(o *bridge.Options) { o.Limits.Calls, o.Limits.CallsPerThing = 3, 2 })
}

func TestALateDoubleOrForeignReplyAnswersNothing(t *testing.T) {
	metrics := prometheus.NewRegistry()
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, declared)
		r.retained("things/other/announce", "{}")
		var topics []string
		r.device(func(topic string, _ []byte) { topics = append(topics, topic) })
		first := r.service("pump-1", "Quick")
		synctest.Wait()
		reply := strings.Replace(topics[0], "/request/", "/reply/", 1)
		r.live(strings.Replace(reply, "pump-1", "other", 1), `{"result":"foreign"}`)
		if len(first) > 0 {
			t.Fatal("a foreign reply ended the call")
		}
		time.Sleep(3 * time.Second)
		r.mustFail(first, alwayson.GatewayTimeout, "")
		second := r.service("pump-1", "Quick")
		synctest.Wait()
		r.live(reply, `{"result":"late"}`)
		if len(second) > 0 {
			t.Fatal("a late reply ended another call")
		}
		r.live(strings.Replace(topics[1], "/request/", "/reply/", 1), `{}`)
		r.live(strings.Replace(topics[1], "/request/", "/reply/", 1), `{"error":"twice"}`)
		if resp := r.answered(second); resp.Code != alwayson.Success {
			t.Errorf("answer is %s", resp.Code)
		}
		if topics[0] == topics[1] || len(topics[0]) < len("things/pump-1/services/Quick/request/")+26 {
			t.Errorf("ids can be guessed: %q", topics)
		}
		r.live("things/pump-1/services/Quick/reply/nobody", `{}`)
		for reason, want := range map[string]float64{"foreign": 1, "late": 2, "unknown": 1} {
			if got := counted(t, metrics, "thingbridge_replies_ignored_total", reason); got != want {
				t.Errorf("%v replies are counted as %s, want %v", got, reason, want)
			}
		}
	}, func(o *bridge.Options) { o.Registerer = metrics })
}

// counted reads a counter that has one label.
func counted(t *testing.T, from *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestCallWithoutABroker(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, declared)
		r.bus.mu.Lock()
		r.bus.fail = bridge.ErrBusFull
		r.bus.mu.Unlock()
		r.mustFail(r.service("pump-1", "Quick"), alwayson.ServiceUnavailable, bridge.ErrBusFull.Error())
	})
}

func write(name string, v alwayson.Value) *alwayson.Request {
	return alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", name, alwayson.OneRow(alwayson.Named{Name: name, Value: v}))
}

// What a failure tells must not be larger than a message.
func TestFailuresTellLittle(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, `{"properties":{"text":{"type":"STRING","writable":true,"confirm":"echo"}}}`)
		answer := r.request("pump-1", alwayson.Put, write("text", alwayson.NewString("wanted")))
		synctest.Wait()
		r.live(properties+"/text", `"`+strings.Repeat("other", 200_000)+`"`)
		time.Sleep(11 * time.Second)
		resp := r.answered(answer)
		if !strings.Contains(resp.Reason, `it still reports text = "other`) || len(resp.Reason) > 1000 {
			t.Errorf("%d bytes: %.100s", len(resp.Reason), resp.Reason)
		}
		r.replies(`{"error":"` + strings.Repeat("no", 500_000) + `"}`)
		if resp = r.answered(r.service("pump-1", "S")); resp.Code != alwayson.InternalServerError || !strings.HasPrefix(resp.Reason, "nono") || len(resp.Reason) > 5000 {
			t.Errorf("%s, %d bytes: %.100s", resp.Code, len(resp.Reason), resp.Reason)
		}
		var many []alwayson.Named
		for i := range 5000 {
			many = append(many, num1(fmt.Sprintf("not-there-%d", i), 1))
		}
		resp = r.answered(r.request("pump-1", alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "*", alwayson.OneRow(many...))))
		if resp.Code.IsSuccess() || len(resp.Reason) > 5000 {
			t.Errorf("%s, %d bytes: %.100s", resp.Code, len(resp.Reason), resp.Reason)
		}
	})
}

func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name   string
		req    *alwayson.Request
		device func(r *rig)
		wait   time.Duration
		code   alwayson.Code
		text   string
		sent   string // topic prefix and payload of the message to the device
	}{
		{"answered once the broker has it", write("set", alwayson.NewNumber(5)), nil, 0, alwayson.Success, "", "things/pump-1/properties/set/set 5"},
		{"echo: answered by the equal value", write("echo", alwayson.NewNumber(5)),
			func(r *rig) { r.live(properties, `{"echo":4}`); r.live(properties, `{"echo":5.0}`) }, 0, alwayson.Success, "", "things/pump-1/properties/echo/set 5"},
		{"echo: never equal", write("echo", alwayson.NewNumber(5)),
			func(r *rig) { r.live(properties, `{"echo":4}`) }, 11 * time.Second, alwayson.GatewayTimeout, "still reports echo = 4", ""},
		{"echo: nothing known", write("echo", alwayson.NewNumber(5)), nil, 11 * time.Second, alwayson.GatewayTimeout, "reports no value of echo", ""},
		{"of the wrong type", write("set", alwayson.NewString("x")), nil, 0, alwayson.BadRequest, "", ""},
		{"without a row", alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "set", nil), nil, 0, alwayson.BadRequest, "row", ""},
		{"several by *", alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "*", alwayson.OneRow(num1("set", 1), num1("other", 2))), nil, 0,
			alwayson.Success, "", "things/pump-1/properties/other/set 2"},
		{"several by _content_", alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "*", alwayson.OneRow(alwayson.Named{Name: "_content_",
			Value: alwayson.NewText(alwayson.TypeJSON, `{"set":7}`)})), nil, 0, alwayson.Success, "", "things/pump-1/properties/set/set 7"},
		{"_content_ that is no object", alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", "*", alwayson.OneRow(alwayson.Named{Name: "_content_",
			Value: alwayson.NewText(alwayson.TypeJSON, `[7]`)})), nil, 0, alwayson.BadRequest, "_content_", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, pump(), func(r *rig) {
				r.retained(announce, declared)
				answer := r.request("pump-1", alwayson.Put, c.req)
				synctest.Wait()
				if c.device != nil {
					c.device(r)
				}
				time.Sleep(c.wait)
				resp := r.answered(answer)
				if resp.Code != c.code || !strings.Contains(resp.Reason, c.text) {
					t.Fatalf("answer is %s %q, want %s %q", resp.Code, resp.Reason, c.code, c.text)
				}
				if c.sent != "" && !strings.Contains(strings.Join(r.bus.sent(), "\n"), c.sent) {
					t.Errorf("sent %q, want %q", r.bus.sent(), c.sent)
				}
			})
		})
	}
}

// A short request can make a long payload, and it is kept until the call has ended.
func TestWhatCallsSendIsBoundedTogether(t *testing.T) {
	model := map[string][]alwayson.Subscription{}
	for i := range 8 {
		model[fmt.Sprintf("t%d", i)] = nil
	}
	bubble(t, model, func(r *rig) {
		large := alwayson.Named{Name: "text", Value: alwayson.NewString(strings.Repeat("x", 900_000))}
		var answers []chan *alwayson.Response
		for thing := range model {
			r.retained("things/"+thing+"/announce", "{}")
			for range 10 {
				answers = append(answers, r.service(thing, "S", large))
			}
		}
		synctest.Wait()
		for i, answer := range answers {
			if full := len(answer) == 1; full != (i >= 74) {
				t.Fatalf("call %d is answered at once: %v", i, full)
			}
		}
		r.mustFail(answers[79], alwayson.ServiceUnavailable, "the calls in flight send")
		time.Sleep(11 * time.Second)
		r.mustFail(answers[0], alwayson.GatewayTimeout, "did not answer")
		answer := r.service("t0", "S", large)
		synctest.Wait()
		if len(answer) != 0 {
			t.Error("there is no room after the calls have ended")
		}
	})
}

func TestMetadataNamesWhatIsAllowed(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, declared)
		resp := r.answered(r.service("pump-1", "GetMetadata"))
		text := alwayson.Result(resp.Content, "result").Text()
		if !strings.Contains(text, `"Add"`) || strings.Contains(text, `"Quick"`) || !strings.Contains(text, `"temp"`) {
			t.Errorf("metadata is %s", text)
		}
	}, func(o *bridge.Options) { o.DenyServices = []string{"Quick"} })
}

func TestIdentifierIsTheNameOnThePlatform(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"*SN1": subs("temp")}, func(r *rig) {
		r.retained(announce, `{"identifier":"SN1"}`)
		r.live(properties, `{"temp":1}`)
		r.mustGot("*SN1.temp=1")
		r.replies(`{"result":1}`)
		if resp := r.answered(r.service("*SN1", "X")); resp.Code != alwayson.Success {
			t.Errorf("answer is %s %s", resp.Code, resp.Reason)
		}
	})
}

func TestStopAnswersWhatIsInFlight(t *testing.T) {
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, declared)
		answer := r.service("pump-1", "Add", num1("a", 1))
		synctest.Wait()
		start := time.Now()
		r.stop()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("stopping took %s", took)
		}
		r.mustFail(answer, alwayson.ServiceUnavailable, "stops")
		r.b.Message(&bridge.Message{Topic: properties, Payload: []byte(`{"temp":1}`), QoS: 1, AckFunc: func() { t.Error("a message is acknowledged that nobody took") }})
		r.b.Request("pump-1", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "pump-1", "Add", nil), func(resp *alwayson.Response) {
			if resp.Code != alwayson.ServiceUnavailable {
				t.Errorf("a call after the end: %s", resp.Code)
			}
		})
	})
}

func TestManyCallsAtOnceEachGetTheirOwnAnswer(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, "{}")
		r.device(func(topic string, payload []byte) {
			if at := strings.Index(topic, "/request/"); at > 0 {
				r.b.Message(&bridge.Message{Topic: strings.Replace(topic, "/request/", "/reply/", 1), Received: time.Now(),
					Payload: []byte(fmt.Sprintf(`{"result":%s}`, payload))})
			}
		})
		var open []chan *alwayson.Response
		for i := range 100 {
			open = append(open, r.service("pump-1", "Echo", num1("n", float64(i))))
		}
		for i, c := range open {
			v := alwayson.Result(r.answered(c).Content, "result")
			if got := string(mapping.AppendJSON(nil, v)); !strings.Contains(got, fmt.Sprintf(`:%d}`, i)) {
				t.Errorf("call %d got %s", i, got)
			}
		}
	}, func(o *bridge.Options) { o.Limits.CallsPerThing = 1000 })
}

// Whoever asks while the bridge ends is told so: nothing sees to its time any more.
func TestACallThatComesWhenTheBridgeHasStoppedEndsAtOnce(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, declared)
		r.stop()
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Hour)
		defer cancel()
		_, err := r.b.Call(ctx, "pump-1", "Any", nil)
		var e *mapping.CallError
		if !errors.As(err, &e) || e.Code != alwayson.ServiceUnavailable || e.Text != "the bridge stops" {
			t.Errorf("it ends with %v", err)
		}
	})
}
