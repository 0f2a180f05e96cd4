package mapping_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// newNative makes an Engine of the native preset alone, with ids r1, r2, ….
func newNative(t testing.TB) *mapping.Engine {
	t.Helper()
	p, problems := mapping.Load(nil, "", presets.Open)
	for _, problem := range problems {
		t.Error(problem)
	}
	if p == nil {
		t.FailNow()
	}
	return mapping.NewEngine(p, testOptions())
}

func testOptions() mapping.Options {
	var mu sync.Mutex
	n := 0
	return mapping.Options{
		NewRequestID:        func() string { mu.Lock(); defer mu.Unlock(); n++; return fmt.Sprintf("r%d", n) },
		NewNumericRequestID: func() int64 { mu.Lock(); defer mu.Unlock(); n++; return int64(n) },
	}
}

func in(topic, payload string) *mapping.Input {
	return &mapping.Input{Topic: topic, Payload: []byte(payload), Now: now}
}

// put hands a message to the Engine and accepts the devices it announces.
func put(t testing.TB, e *mapping.Engine, topic, payload string) []mapping.Effect {
	t.Helper()
	effects := e.Handle(in(topic, payload), nil)
	for _, eff := range effects {
		if a, ok := eff.(*mapping.Announced); ok {
			if _, err := e.Put(a.Device); err != nil {
				t.Errorf("put %s: %v", a.Device.Thing, err)
			}
		}
	}
	return effects
}

// show writes effects one a line.
func show(effects []mapping.Effect) string {
	var b strings.Builder
	for _, eff := range effects {
		switch eff := eff.(type) {
		case *mapping.Announced:
			d := eff.Device
			fmt.Fprintf(&b, "announced %s live=%v", d.Thing, eff.Live)
			if d.Parent != "" {
				fmt.Fprintf(&b, " parent=%s", d.Parent)
			}
			if d.ExpireAfter > 0 {
				fmt.Fprintf(&b, " expires=%s", d.ExpireAfter)
			}
			if d.QueueFor > 0 {
				fmt.Fprintf(&b, " queue=%s", d.QueueFor)
			}
			b.WriteByte('\n')
		case *mapping.Left:
			fmt.Fprintf(&b, "left %s by %s\n", eff.Thing, eff.Source)
		case *mapping.Presence:
			fmt.Fprintf(&b, "presence %s%s online=%v\n", eff.Thing, eff.Profile, eff.Online)
		case *mapping.Hold:
			fmt.Fprintf(&b, "hold %s %v\n", eff.Thing, eff.On)
		case *mapping.Values:
			fmt.Fprintf(&b, "values %s", eff.Thing)
			for _, v := range eff.Values {
				fmt.Fprintf(&b, " %s=%s:%s", v.Name, v.Value.Type(), mapping.AppendJSON(nil, v.Value))
				if v.Quality != "GOOD" {
					fmt.Fprintf(&b, "(%s)", v.Quality)
				}
				if v.Time != now.UnixMilli() {
					fmt.Fprintf(&b, "@%d", v.Time)
				}
			}
			b.WriteByte('\n')
		case *mapping.Event:
			fmt.Fprintf(&b, "event %s %s", eff.Thing, eff.Name)
			if eff.Data != nil {
				fmt.Fprintf(&b, " %s", mapping.AppendJSON(nil, alwayson.NewTable(eff.Data)))
			}
			b.WriteByte('\n')
		case *mapping.Reply:
			fmt.Fprintf(&b, "reply %s %q\n", eff.Thing, eff.Request)
		case *mapping.Upward:
			fmt.Fprintf(&b, "upward %s %s %s to %s %v %s", eff.Thing, eff.Service, eff.Request, eff.ReplyTopic, eff.Inputs, eff.Problem)
			if eff.Unannounced {
				b.WriteString("unannounced")
			}
			b.WriteByte('\n')
		case *mapping.Unclaimed:
			fmt.Fprintf(&b, "unclaimed %s %s\n", eff.Profile, eff.Thing)
		case *mapping.Rejected:
			fmt.Fprintf(&b, "rejected %s %s: %s\n", eff.Thing, eff.Reason, eff.Detail)
		}
	}
	return b.String()
}

func params(cells ...any) *alwayson.InfoTable {
	t := &alwayson.InfoTable{Rows: [][]alwayson.Value{{}}}
	for i := 0; i+1 < len(cells); i += 2 {
		v := cells[i+1].(alwayson.Value)
		t.Fields = append(t.Fields, alwayson.Field{Name: cells[i].(string), Type: v.Type()})
		t.Rows[0] = append(t.Rows[0], v)
	}
	return t
}

func codeOf(err error) alwayson.Code {
	var c *mapping.CallError
	if errors.As(err, &c) {
		return c.Code
	}
	return 0
}

func TestNativeMessages(t *testing.T) {
	const declared = `{"properties":{"temp":{"type":"NUMBER","writable":true,"confirm":"reply","min":0,"max":100},"n":"INTEGER","big":"LONG","on":"BOOLEAN","at":"DATETIME","s":"STRING","where":"LOCATION","img":"IMAGE","tab":{"type":"INFOTABLE","fields":{"a":"NUMBER","b":"STRING"}},"any":"JSON"}}`
	tests := []struct{ name, announce, topic, payload, want string }{
		{"an announcement of {} is enough", "", "things/p/announce", `{}`, "announced p live=true\n"},
		{"an announcement that is no JSON is rejected", "", "things/p/announce", `{`, "rejected  malformed: payload: not JSON\n"},
		{"an announcement that is a list is rejected", "", "things/p/announce", `[]`, "rejected p definition: payload: an object is wanted, not a list\n"},
		{"an empty announcement leaves", `{}`, "things/p/announce", ``, "left p by things/p/announce\n"},
		{"an empty announcement leaves even when the Thing is not known", "", "things/p/announce", ``, "left p by things/p/announce\n"},
		{"a bad definition costs only itself", "", "things/p/announce", `{"properties":{"a":"NOPE","b":"NUMBER"}}`, "rejected p definition: properties.a: \"NOPE\" is no base type; known are NUMBER, INTEGER, LONG, BOOLEAN, STRING, DATETIME, LOCATION, JSON, INFOTABLE, BLOB, IMAGE and the other names of the platform\nannounced p live=true\n"},
		{"a device cannot bring topics", "", "things/p/announce", `{"properties":{"a":{"type":"NUMBER","topic":"x/y"}}}`, "rejected p definition: properties.a.topic: unknown key; known are type, description, required, dataShape, fields, push, threshold, writable, confirm, max_age, unit, min, max, step, values, single\nannounced p live=true\n"},
		{"a name with colons is made acceptable", "", "things/a:b/announce", `{}`, "announced a_b live=true\n"},
		{"online", `{}`, "things/p/status", `online`, "presence p online=true\n"},
		{"offline", `{}`, "things/p/status", `offline`, "presence p online=false\n"},
		{"another status is refused", `{}`, "things/p/status", `tired`, "rejected p presence: neither online nor offline is true of \"tired\"\n"},
		{"a status that is no text is refused", `{}`, "things/p/status", "\xff\xfe", "rejected p malformed: payload: neither JSON nor UTF-8 text\n"},
		{"a status that is taken back says nothing", `{}`, "things/p/status", ``, ""},
		{"values are inferred in the order of the message", `{}`, "things/p/properties", `{"b":1.5,"a":"x","c":true,"d":{"latitude":1,"longitude":2},"e":[{"x":1}],"f":[1]}`,
			`values p b=NUMBER:1.5 a=STRING:"x" c=BOOLEAN:true d=LOCATION:{"elevation":0,"latitude":1,"longitude":2} e=INFOTABLE:[{"x":1}] f=JSON:[1]` + "\n"},
		{"null is no value", `{}`, "things/p/properties", `{"a":null,"b":1}`, "rejected p null: a: no value\nvalues p b=NUMBER:1\n"},
		{"the wrapper gives time and quality", `{}`, "things/p/properties", `{"values":{"a":1},"time":1700000000000,"quality":"BAD"}`, "values p a=NUMBER:1(BAD)@1700000000000\n"},
		{"the wrapper takes RFC 3339", `{}`, "things/p/properties", `{"time":"2023-11-14T22:13:20Z","values":{"a":1}}`, "values p a=NUMBER:1@1700000000000\n"},
		{"other keys beside values are values", `{}`, "things/p/properties", `{"values":{"a":1},"x":2}`, `values p values=JSON:{"a":1} x=NUMBER:2` + "\n"},
		{"a time before 2000 becomes the time of receipt", `{}`, "things/p/properties", `{"values":{"a":1},"time":5}`, "rejected p time: 1970-01-01T00:00:00.005Z is before the year 2000\nvalues p a=NUMBER:1(UNVERIFIED_SOURCE)\n"},
		{"a time far ahead becomes the time of receipt", `{}`, "things/p/properties", `{"values":{"a":1},"time":"2026-05-04T04:02:01Z"}`, "rejected p time: 2026-05-04T04:02:01.000Z is more than 5 minutes ahead\nvalues p a=NUMBER:1(UNVERIFIED_SOURCE)\n"},
		{"a list of values is rejected", `{}`, "things/p/properties", `[1]`, "rejected p malformed: values: an object is wanted, not a list\n"},
		{"one value as JSON", `{}`, "things/p/properties/a", `21.5`, "values p a=NUMBER:21.5\n"},
		{"one value as bare text", `{}`, "things/p/properties/a", `ON air`, "values p a=STRING:\"ON air\"\n"},
		{"declared types convert", declared, "things/p/properties", `{"temp":"21.5","n":7,"big":9007199254740993,"on":true,"at":1700000000000,"s":12,"where":{"latitude":1,"longitude":2,"elevation":3},"img":"AQI=","tab":[{"a":1,"b":"x"},{"b":"y"}],"any":{"z":[1]}}`,
			`values p temp=NUMBER:21.5 n=INTEGER:7 big=LONG:9007199254740993 on=BOOLEAN:true at=DATETIME:"2023-11-14T22:13:20.000Z" s=STRING:"12" where=LOCATION:{"elevation":3,"latitude":1,"longitude":2} img=IMAGE:"AQI=" tab=INFOTABLE:[{"a":1,"b":"x"},{"b":"y"}] any=JSON:{"z":[1]}` + "\n"},
		{"INTEGER is 32 bits", declared, "things/p/properties", `{"n":2147483648}`, "rejected p type: n: an INTEGER (32 bits) is wanted, not 2147483648\n"},
		{"LONG does not overflow", declared, "things/p/properties", `{"big":9223372036854775808}`, "rejected p type: big: a LONG is wanted, not 9223372036854776000\n"},
		{"an overflow is refused", declared, "things/p/properties", `{"temp":1e999}`, "rejected p type: temp: a NUMBER is wanted, not infinity or an overflow\n"},
		{"NaN as text is refused", declared, "things/p/properties/temp", `NaN`, "rejected p type: temp: a NUMBER is wanted, not the text \"NaN\"\n"},
		{"declared text keeps the digits as sent", declared, "things/p/properties/s", `1.50`, "values p s=STRING:\"1.50\"\n"},
		{"an event", `{"events":{"Alarm":{"fields":{"code":"INTEGER"}}}}`, "things/p/events/Alarm", `{"code":7,"why":"hot"}`, `event p Alarm [{"code":7,"why":"hot"}]` + "\n"},
		{"an event without data", `{}`, "things/p/events/Ping", ``, "event p Ping\n"},
		{"a value of an unknown Thing is unclaimed", "", "things/p/properties", `{"a":1}`, "unclaimed native p\n"},
		{"the way up", `{}`, "things/p/platform/Log/request/7", `{"a":1}`, "upward p Log 7 to things/p/platform/Log/reply/7 map[a:1] \n"},
		{"the way up with a list has a problem", `{}`, "things/p/platform/Log/request/7", `[1]`, "upward p Log 7 to things/p/platform/Log/reply/7 <nil> the inputs must be a JSON object, not a list\n"},
		{"the way up with what is no JSON has a problem", `{}`, "things/p/platform/Log/request/7", `{"a":`, "upward p Log 7 to things/p/platform/Log/reply/7 <nil> the inputs must be a JSON object, not text\n"},
		{"the way up of an unknown Thing is told", "", "things/p/platform/Log/request/7", `{}`, "upward p Log 7 to things/p/platform/Log/reply/7 <nil> unannounced\n"},
		{"nobody listens", "", "other/topic", `x`, "rejected  unknown_rule: no rule listens to the topic\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newNative(t)
			if tt.announce != "" {
				put(t, e, "things/p/announce", tt.announce)
			}
			if got := show(put(t, e, tt.topic, tt.payload)); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func TestNativeServices(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"services":{"Reset":{"inputs":{"hard":{"type":"BOOLEAN","required":true},"n":"INTEGER"},"output":"NUMBER","timeout":"5s"}}}`)
	call := func() *mapping.Call {
		c, err := e.Call("p", "Reset", params("hard", alwayson.NewBoolean(true), "n", alwayson.NewString("7")))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := call()
	if got := fmt.Sprintf("%s %s %s", c.Send[0].Topic, c.Send[0].Payload, c.Timeout); got != `things/p/services/Reset/request/r1 {"hard":true,"n":7} 5s` {
		t.Errorf("sent %s", got)
	}
	for _, tt := range []struct {
		name, payload, want string
		code                alwayson.Code
	}{
		{"a result of the declared type", `{"result":"3.5"}`, "3.5", 0},
		{"no result is success", `{}`, "null", 0},
		{"error null is none", `{"result":1,"error":null}`, "1", 0},
		{"error text", `{"error":"jammed"}`, "jammed", alwayson.InternalServerError},
		{"error with a code of HTTP", `{"error":{"code":404,"message":"no valve"}}`, "no valve", alwayson.NotFound},
		{"error with another code", `{"error":{"code":-105,"message":"bad id"}}`, "bad id (code -105)", alwayson.InternalServerError},
		{"error that is a number", `{"error":5}`, "the device's error is neither text nor {code, message}", alwayson.BadGateway},
		{"a reply of another shape", `{"ok":true}`, "the device's reply has not the form of a reply", alwayson.BadGateway},
		{"a reply that is text", `fine`, "the device's reply has not the form of a reply", alwayson.BadGateway},
		{"a reply of no text at all", "\xff\xfe", "the device's reply could not be read: neither JSON nor UTF-8 text", alwayson.BadGateway},
		{"a result of the wrong type", `{"result":"x"}`, "the device's result does not fit: a NUMBER is wanted, not the text \"x\"", alwayson.BadGateway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call()
			var reply *mapping.Reply
			for _, eff := range e.Handle(in("things/p/services/Reset/reply/"+c.Request, tt.payload), nil) {
				if r, ok := eff.(*mapping.Reply); ok {
					reply = r
				}
			}
			if reply == nil || reply.Thing != "p" || reply.Request != c.Request || reply.Route != c.Route {
				t.Fatalf("reply %+v for call %+v", reply, c)
			}
			v, err, ok := c.Answer(reply.Input)
			got := string(mapping.AppendJSON(nil, v))
			if err != nil {
				got = err.Error()
			}
			if !ok || got != tt.want || codeOf(err) != tt.code {
				t.Errorf("answer %q code %v ok %v, want %q %v", got, codeOf(err), ok, tt.want, tt.code)
			}
		})
	}
}

func TestNativeInputs(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"services":{"Reset":{"inputs":{"hard":{"type":"BOOLEAN","required":true},"n":"INTEGER"}}}}`)
	for _, tt := range []struct {
		name, thing, service string
		params               *alwayson.InfoTable
		want                 string
		code                 alwayson.Code
	}{
		{"a required input is missing", "p", "Reset", nil, `the required input "hard" is missing`, alwayson.BadRequest},
		{"a required input is NOTHING", "p", "Reset", params("hard", alwayson.Value{}), `the required input "hard" is missing`, alwayson.BadRequest},
		{"an unknown input", "p", "Reset", params("hard", alwayson.NewBoolean(true), "x", alwayson.NewNumber(1)), `the service "Reset" has no input "x"`, alwayson.BadRequest},
		{"an input that does not convert", "p", "Reset", params("hard", alwayson.NewBoolean(true), "n", alwayson.NewString("many")), `input "n": an INTEGER (32 bits) is wanted, not the text "many"`, alwayson.BadRequest},
		{"an unknown Thing", "q", "Reset", nil, `no device has announced the Thing "q"`, alwayson.NotFound},
		{"a service name that cannot stand in a topic", "p", "a/b", nil, `service "a/b": the value "a/b" of ${service} must not stand in a topic`, alwayson.BadRequest},
		{"NOTHING is left out", "p", "Reset", params("hard", alwayson.NewBoolean(false), "n", alwayson.Value{}), `{"hard":false}`, 0},
		{"an undeclared service is relayed with what it got", "p", "Other", params("t", alwayson.NewTable(params("a", alwayson.NewNumber(1)))), `{"t":[{"a":1}]}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := e.Call(tt.thing, tt.service, tt.params)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = string(c.Send[0].Payload)
			}
			if got != tt.want || codeOf(err) != tt.code {
				t.Errorf("got %q %v, want %q %v", got, codeOf(err), tt.want, tt.code)
			}
		})
	}
}

func TestNativeWritesAndReads(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"properties":{"a":{"type":"NUMBER","writable":true,"min":0,"max":9},"b":{"type":"INTEGER","writable":true,"confirm":"echo"},"c":{"type":"STRING","writable":true,"confirm":"reply","values":["x","y"]},"d":"NUMBER"}}`)
	for _, tt := range []struct {
		name, property string
		value          alwayson.Value
		want           string
		code           alwayson.Code
	}{
		{"sent", "a", alwayson.NewString("5"), "things/p/properties/a/set 5 confirm= echo=", 0},
		{"echo", "b", alwayson.NewNumber(5), "things/p/properties/b/set 5 confirm=echo echo=b", 0},
		{"reply", "c", alwayson.NewString("x"), `things/p/properties/c/set/r "x" confirm=reply echo=`, 0},
		{"undeclared is relayed", "z", alwayson.NewBoolean(true), "things/p/properties/z/set true confirm= echo=", 0},
		{"over the maximum", "a", alwayson.NewNumber(10), `property "a": 10 is over the maximum 9`, alwayson.BadRequest},
		{"not a permitted text", "c", alwayson.NewString("z"), `property "c": "z" is not one of the permitted values ["x" "y"]`, alwayson.BadRequest},
		{"not convertible", "a", alwayson.NewString("much"), `property "a": a NUMBER is wanted, not the text "much"`, alwayson.BadRequest},
		{"not writable", "d", alwayson.NewNumber(1), `the property "d" of the Thing "p" is not writable`, alwayson.MethodNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := e.Write("p", tt.property, tt.value)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				topic := c.Send[0].Topic
				if c.Request != "" {
					topic = strings.TrimSuffix(topic, c.Request) + "r"
				}
				got = fmt.Sprintf("%s %s confirm=%s echo=%s", topic, c.Send[0].Payload, c.Confirm, c.EchoProperty)
			}
			if got != tt.want || codeOf(err) != tt.code {
				t.Errorf("got %q %v, want %q %v", got, codeOf(err), tt.want, tt.code)
			}
		})
	}
	c, err := e.Read("p", "d")
	if err != nil || c.Send[0].Topic != "things/p/properties/d/get" || len(c.Send[0].Payload) != 0 || c.EchoProperty != "d" {
		t.Errorf("read %+v %v", c, err)
	}
}

func TestADefinitionIsKeptWhereOnlyItsExtrasAreWrong(t *testing.T) {
	e := newNative(t)
	effects := put(t, e, "things/p/announce", `{"x":1,"properties":{"a":{"type":"NUMBER","colour":"red"}},"services":{"S":{"timeout":"1h"}}}`)
	if got := strings.Count(show(effects), "rejected p definition:"); got != 3 {
		t.Errorf("%d notes: %s", got, show(effects))
	}
	d := e.Device("p").Definitions
	if d.Properties["a"] == nil || d.Services["S"] == nil || d.Services["S"].Timeout != 25*time.Second {
		t.Errorf("definitions %+v", d)
	}
}

func TestWhatDoesNotHinderIsToldAndTheDeviceKept(t *testing.T) {
	e := newNative(t)
	if got, want := show(put(t, e, "things/p/announce", `{"services":{"S":{"inputs":{"n":{"type":"NOTHING","required":true}}}}}`)),
		"rejected p definition: services.S.inputs.n: a NOTHING has no value and cannot be required\nannounced p live=true\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
	if _, err := e.Call("p", "S", nil); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("n", 128)
	if got, want := show(put(t, e, "things/"+long+"/announce", `{}`)), "announced "+long+" live=true\n"; got != want {
		t.Errorf("a long name: got %swant %s", got, want)
	}
}
