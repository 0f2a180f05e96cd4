package mapping_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

const rpc = `
thing: ${id}
announce: {topic: "d/{id}/online", let: {pre: payload.prefix}}
allow_topics: ["z/#"]
services:
  "Rpc":
    inputs: {method: STRING}
    output: JSON
    request: {topic: "d/${id}/rpc", payload: '{"id": ${request}, "src": "${bridge.reply}/${id}", "method": ${inputs.method}}'}
    reply: {topic: "${bridge.reply}/{id}/rpc", request: payload.id, numeric: true, result: payload.result, error: payload.error}
  "Power{n}":
    inputs: {value: BOOLEAN}
    request: {topic: "cmnd/${id}/POWER${n}", payload: '${inputs.value ? "ON" : "OFF"}'}
    reply: {topic: ["stat/{id}/RESULT"], serial: true, match: '("POWER" + n) in payload', result: 'payload["POWER" + n]'}
    timeout: 3s
  Blink:
    request:
      - {topic: "cmnd/${id}/blink", payload: "1"}
      - {topic: "cmnd/${id}/blink", payload: "0"}
writes:
  state: {type: STRING, values: ["ON", "OFF"], topic: "z/${device.pre}/set", payload: '{"state": "${value}"}', reply: {topic: "z/${device.pre}", echo: payload.state == value}, fail: {topic: "z/log", error: 'payload.message contains device.pre ? payload.message : nil'}}
reads:
  "*": {topic: "z/${device.pre}/get", payload: '{"${property}": ""}'}
ask:
  - {on: connect, topic: z/ask, payload: announce}
  - {on: announce, topic: "d/${id}/command", payload: status, every: 1m}
  - {on: presence, topic: "d/${id}/never", when: device.pre == "other"}
`

// reply hands a message to the Engine and gives the call's answer.
func reply(t *testing.T, e *mapping.Engine, c *mapping.Call, topic, payload string) string {
	t.Helper()
	for _, eff := range e.Handle(in(topic, payload), nil) {
		r, ok := eff.(*mapping.Reply)
		if !ok || r.Route != c.Route || r.Thing != c.Thing || r.Request != "" && r.Request != c.Request {
			continue
		}
		v, err, done := c.Answer(r.Input)
		switch {
		case !done:
			return "not its answer"
		case err != nil:
			return fmt.Sprintf("error %v %s", codeOf(err), err)
		default:
			return "ok " + string(mapping.AppendJSON(nil, v))
		}
	}
	return "no reply"
}

func sent(c *mapping.Call) string {
	var b strings.Builder
	for _, p := range c.Send {
		fmt.Fprintf(&b, "%s %s\n", p.Topic, p.Payload)
	}
	return b.String()
}

func TestRepliesAreToldApart(t *testing.T) {
	e := engine(t, profileOf(rpc))
	put(t, e, "d/a/online", `{"prefix":"hall/lamp"}`)
	rpc, err := e.Call("a", "Rpc", params("method", alwayson.NewString(`Switch."Set"`)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sent(rpc), "d/a/rpc "+`{"id": `+rpc.Request+`, "src": "thingbridge/reply/a", "method": "Switch.\"Set\""}`+"\n"; got != want {
		t.Errorf("sent %swant %s", got, want)
	}
	power, err := e.Call("a", "Power2", params("value", alwayson.NewBoolean(true)))
	if err != nil {
		t.Fatal(err)
	}
	if got := sent(power); got != "cmnd/a/POWER2 ON\n" || !power.Serial || power.Timeout.String() != "3s" {
		t.Errorf("sent %s serial %v %s", got, power.Serial, power.Timeout)
	}
	blink, err := e.Call("a", "Blink", nil)
	if err != nil || sent(blink) != "cmnd/a/blink 1\ncmnd/a/blink 0\n" || blink.Confirm != mapping.ConfirmSent {
		t.Errorf("blink %+v %v", blink, err)
	}
	write, err := e.Write("a", "state", alwayson.NewString("ON"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sent(write); got != `z/hall/lamp/set {"state": "ON"}`+"\n" {
		t.Errorf("sent %s", got)
	}
	for _, tt := range []struct {
		name           string
		call           *mapping.Call
		topic, payload string
		want           string
	}{
		{"a reply with its number", rpc, "thingbridge/reply/a/rpc", `{"id":` + rpc.Request + `,"result":{"was_on":false}}`, `ok {"was_on":false}`},
		{"a reply with another number", rpc, "thingbridge/reply/a/rpc", `{"id":99,"result":1}`, "no reply"},
		{"a reply without a number", rpc, "thingbridge/reply/a/rpc", `{"result":1}`, "no reply"},
		{"a reply of another device", rpc, "thingbridge/reply/b/rpc", `{"id":` + rpc.Request + `,"result":1}`, "no reply"},
		{"an error with its number", rpc, "thingbridge/reply/a/rpc", `{"id":` + rpc.Request + `,"error":{"code":-105,"message":"no id 9"}}`, "error INTERNAL_SERVER_ERROR (0xA0) no id 9 (code -105)"},
		{"a serial reply that matches", power, "stat/a/RESULT", `{"POWER2":"ON"}`, "ok null"},
		{"a serial reply of another switch", power, "stat/a/RESULT", `{"POWER1":"ON"}`, "not its answer"},
		{"an echo that confirms", write, "z/hall/lamp", `{"state":"ON"}`, "ok null"},
		{"an echo of another state", write, "z/hall/lamp", `{"state":"OFF"}`, "not its answer"},
		{"a failure told elsewhere", write, "z/log", `{"message":"set hall/lamp failed"}`, "error INTERNAL_SERVER_ERROR (0xA0) set hall/lamp failed"},
		{"a failure of another device", write, "z/log", `{"message":"set other failed"}`, "no reply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := reply(t, e, tt.call, tt.topic, tt.payload); !strings.HasPrefix(got, "error") && got != tt.want || strings.HasPrefix(got, "error") && !strings.HasSuffix(tt.want, got[strings.Index(got, ") ")+2:]) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	read, err := e.Read("a", "state")
	if err != nil || sent(read) != `z/hall/lamp/get {"state": ""}`+"\n" || read.EchoProperty != "state" {
		t.Errorf("read %+v %v", read, err)
	}
	if _, err := e.Write("a", "other", alwayson.NewNumber(1)); codeOf(err) != alwayson.NotFound {
		t.Errorf("write of an unknown property: %v", err)
	}
	if _, err := e.Write("a", "state", alwayson.NewString("DIM")); codeOf(err) != alwayson.BadRequest {
		t.Errorf("write of a text that is not permitted: %v", err)
	}
	if _, err := e.Call("a", "Power", nil); codeOf(err) != alwayson.NotFound {
		t.Errorf("a part in braces must not be empty: %v", err)
	}
	if got := e.Asks(mapping.AskConnect, ""); len(got) != 1 || got[0].Topic != "z/ask" {
		t.Errorf("asks on connect: %+v", got)
	}
	if got := e.Asks(mapping.AskAnnounce, "a"); len(got) != 1 || got[0].Topic != "d/a/command" || got[0].Every.String() != "1m0s" {
		t.Errorf("asks on announce: %+v", got)
	}
	if got := e.Asks(mapping.AskPresence, "a"); len(got) != 0 {
		t.Errorf("asks on presence: %+v", got)
	}
}

func TestDevicesDoNotTakeEachOthersNames(t *testing.T) {
	announce := func(t *testing.T, e *mapping.Engine, topic, payload string) error {
		t.Helper()
		for _, eff := range e.Handle(in(topic, payload), nil) {
			if a, ok := eff.(*mapping.Announced); ok {
				_, err := e.Put(a.Device)
				return err
			}
		}
		t.Fatalf("%s announces nothing", topic)
		return nil
	}
	for _, tt := range []struct{ name, first, second, want string }{
		{"names that differ in case", "things/Pump/announce", "things/pump/announce",
			`thing "pump" of profile native on things/pump/announce: "Pump" of profile native on things/Pump/announce has the name already (the platform does not tell upper case from lower)`},
		{"names that become equal", "things/a:b/announce", "things/a_b/announce", `thing "a_b" of profile native on things/a_b/announce: profile native on things/a:b/announce has the name already`},
		{"the same device", "things/a/announce", "things/a/announce", ""},
		{"another profile", "things/acme-1/announce", "acme/x/1/hello", `thing "acme-1" of profile acme-pump on acme/x/1/hello: profile native on things/acme-1/announce has the name already`},
		{"another source of the same rule", "acme/x/1/hello", "acme/y/1/hello", `thing "acme-1" of profile acme-pump on acme/y/1/hello: profile acme-pump on acme/x/1/hello has the name already`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, pump+"  - preset: native\n")
			if err := announce(t, e, tt.first, `{"kind":"pump"}`); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := announce(t, e, tt.second, `{"kind":"pump"}`); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAMessageSpeaksOnlyForItsOwnThing(t *testing.T) {
	e := engine(t, pump+"  - preset: native\n")
	put(t, e, "things/a:b/announce", `{}`)
	put(t, e, "acme/x/1/hello", `{"kind":"pump"}`)
	for topic, want := range map[string]string{
		"things/a_b/properties":    `rejected a_b identity: the Thing belongs to the device "a:b"` + "\n",
		"things/acme-1/properties": "rejected acme-1 identity: the Thing belongs to profile acme-pump on acme/x/1/hello\n",
		"things/a:b/properties":    "values a_b x=NUMBER:1\n",
		"things/a_b/announce":      "announced a_b live=true\n", // refused by Put
	} {
		if got := show(e.Handle(in(topic, `{"x":1}`), nil)); !strings.HasSuffix(got, want) {
			t.Errorf("%s gave %swant %s", topic, got, want)
		}
	}
}

func TestSubscriptionsFollowTheDevices(t *testing.T) {
	e := engine(t, profileOf(rpc[:strings.Index(rpc, "writes:")]+`
presence: {topic: "z/${device.pre}/availability"}
`))
	change := func(topic, payload string) string {
		var c mapping.Change
		for _, eff := range e.Handle(in(topic, payload), nil) {
			switch eff := eff.(type) {
			case *mapping.Announced:
				var err error
				if c, err = e.Put(eff.Device); err != nil {
					t.Fatal(err)
				}
			case *mapping.Left:
				c = e.Remove(eff.Thing)
			}
		}
		return fmt.Sprintf("+%v -%v ~%v", c.Subscribe, c.Unsubscribe, c.Refresh)
	}
	for _, tt := range []struct{ topic, payload, want string }{
		{"d/a/online", `{"prefix":"p/{1}"}`, "+[z/p/{1}/availability] -[] ~[]"},
		{"d/b/online", `{"prefix":"p/{1}"}`, "+[] -[] ~[z/p/{1}/availability]"},
		{"d/a/online", `{"prefix":"q"}`, "+[z/q/availability] -[] ~[]"},
		{"d/b/online", `{"prefix":"q"}`, "+[] -[z/p/{1}/availability] ~[z/q/availability]"},
		{"d/b/online", `{"prefix":"a/#"}`, "+[] -[] ~[]"},
		{"d/a/online", ``, "+[] -[z/q/availability] ~[]"},
	} {
		if got := change(tt.topic, tt.payload); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.topic, tt.payload, got, tt.want)
		}
	}
	if got, want := fmt.Sprint(e.Filters()), "[d/+/online stat/+/RESULT thingbridge/reply/+/rpc]"; got != want {
		t.Errorf("filters %s, want %s", got, want)
	}
}

func TestADeviceIsRestoredAsItWasSaved(t *testing.T) {
	for _, tt := range []struct{ name, profile, topic, payload, thing string }{
		{"native", "profiles: [{preset: native}]", "things/a:b/announce", `{"properties":{"x":"INTEGER"},"description":"d"}`, "a_b"},
		{"levels and let", pump, "acme/a/1/hello", `{"kind":"pump","model":"S"}`, "acme-1"},
		{"an item of a list", profileOf(`
thing: z-${item.id}
announce: {topic: z/devices, each: payload, define: '{"description": item.d}'}
`), "z/devices", `[{"id":"q","d":"text"}]`, "z-q"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, tt.profile)
			put(t, e, tt.topic, tt.payload)
			data, err := e.Save(tt.thing)
			if err != nil {
				t.Fatal(err)
			}
			other := engine(t, tt.profile)
			d, err := other.Restore(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Put(d); err != nil {
				t.Fatal(err)
			}
			again, err := other.Save(tt.thing)
			if err != nil || string(again) != string(data) {
				t.Errorf("saved %s, again %s %v", data, again, err)
			}
			a, b := e.Device(tt.thing), other.Device(tt.thing)
			if a.Definitions.Description != b.Definitions.Description || fmt.Sprint(a.Vars) != fmt.Sprint(b.Vars) || len(a.Definitions.Properties) != len(b.Definitions.Properties) {
				t.Errorf("restored %+v, was %+v", b, a)
			}
		})
	}
	e := newNative(t)
	for _, data := range []string{`{`, `{"version":2}`, `{"version":1,"profile":"x","thing":"a"}`, `{"version":1,"profile":"native","thing":"a"}`,
		`{"version":1,"profile":"native","thing":"a","parts":[{"source":"other","payload":""}]}`} {
		if d, err := e.Restore([]byte(data)); err == nil {
			t.Errorf("%s restored %+v", data, d)
		}
	}
}

func TestTheSameAnnouncementAgainKeepsWhatWasInferred(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{}`)
	put(t, e, "things/p/properties/x", `4`)
	for _, eff := range e.Handle(&mapping.Input{Topic: "things/p/announce", Payload: []byte(`{}`), Retained: true, Now: time.Now()}, nil) {
		if a, ok := eff.(*mapping.Announced); ok {
			if _, err := e.Put(a.Device); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(e.Metadata("p").Properties); n != 1 {
		t.Errorf("%d properties after the broker has delivered again what it retains, want x", n)
	}
}

func TestInferredTypesAreRestored(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"properties":{"declared":"NUMBER"}}`)
	e.Handle(&mapping.Input{Topic: "things/p/properties", Payload: []byte(`{"label":"7","level":1,"declared":2}`), Now: time.Now()}, nil)
	data, err := e.Save("p")
	if err != nil {
		t.Fatal(err)
	}
	other := newNative(t)
	d, err := other.Restore(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Put(d); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range other.Metadata("p").Properties {
		got = append(got, p.Name+" "+p.Type.String())
	}
	if want := "declared NUMBER, label STRING, level NUMBER"; strings.Join(got, ", ") != want {
		t.Errorf("after the restart: %s, want %s", strings.Join(got, ", "), want)
	}
	for _, f := range other.Handle(&mapping.Input{Topic: "things/p/properties/label", Payload: []byte(`8`), Now: time.Now()}, nil) {
		if v, ok := f.(*mapping.Values); ok && v.Values[0].Value.Type() != alwayson.TypeString {
			t.Errorf("a number for what was text before the restart came as %s", v.Values[0].Value.Type())
		}
	}
	put(t, other, "things/p/announce", `{"properties":{"declared":"NUMBER"},"description":"new"}`)
	if n := len(other.Metadata("p").Properties); n != 1 {
		t.Errorf("%d properties after an announcement with news, want the declared one", n)
	}
}

func TestAWriteConfirmedByItsPropertyCanFailElsewhere(t *testing.T) {
	e := engine(t, profileOf(`
thing: ${id}
announce: {topic: "d/{id}", define: '{"properties": {"v": {"type": "STRING", "writable": true, "confirm": "echo"}}}'}
properties: {topic: "d/{id}/v", property: v, value: payload}
writes:
  "*":
    - confirm: echo
      topic: d/${id}/set
      payload: "${toJSON(fromPairs([[property, [fromPairs([[1, value]])]]]))}"
      fail: {topic: z/log, when: 'payload.level == "error"', error: 'payload.of == id ? payload.text : nil'}
`))
	put(t, e, "d/a", "{}")
	put(t, e, "d/b", "{}")
	c, err := e.Write("a", "v", alwayson.NewString("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sent(c); got != `d/a/set {"v":[{"1":"x"}]}`+"\n" {
		t.Errorf("sent %s", got)
	}
	if c.EchoProperty != "v" || c.EchoValue.Text() != "x" || c.Confirm != mapping.ConfirmEcho {
		t.Errorf("it waits for %+v", c)
	}
	for payload, want := range map[string]string{
		`{"level":"error","of":"b","text":"no"}`: "no reply",
		`{"level":"info","of":"a","text":"no"}`:  "no reply",
		`{"level":"error","of":"a","text":"no"}`: "error INTERNAL_SERVER_ERROR (0xA0) no",
	} {
		if got := reply(t, e, c, "z/log", payload); got != want {
			t.Errorf("%s: got %q, want %q", payload, got, want)
		}
	}
}

// A table written as JSON has the names of its columns in every row.
func TestATableThatIsEndlessAsJSONIsNotMade(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"properties":{"j":{"type":"JSON","writable":true}},"services":{"S":{"inputs":{"j":"JSON"}}}}`)
	table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: strings.Repeat("n", 100_000), Type: alwayson.TypeBoolean}}}
	for range 1000 { // 100 MB
		table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewBoolean(true)})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, write := e.Write("p", "j", alwayson.NewTable(table))
	_, call := e.Call("p", "S", alwayson.OneRow(alwayson.Named{Name: "j", Value: alwayson.NewTable(table)}))
	runtime.ReadMemStats(&after)
	for _, err := range []error{write, call} {
		if err == nil || !strings.Contains(err.Error(), "JSON of more than 33554432 bytes") {
			t.Errorf("%.200v", err)
		}
	}
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 50 {
		t.Errorf("it took %d MiB", grown)
	}
}

// On the wire a row of a table may leave out its cells, of however many columns.
func TestRowsWithoutCellsTakeNoRoomForThem(t *testing.T) {
	e := newNative(t)
	put(t, e, "things/p/announce", `{"services":{"S":{"inputs":{"t":"INFOTABLE"}}}}`)
	table := &alwayson.InfoTable{Rows: make([][]alwayson.Value, 5000)}
	for i := range 2000 {
		table.Fields = append(table.Fields, alwayson.Field{Name: fmt.Sprint("c", i), Type: alwayson.TypeNumber})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := e.Call("p", "S", alwayson.OneRow(alwayson.Named{Name: "t", Value: alwayson.NewTable(table)}))
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; err != nil || grown > 50 {
		t.Errorf("a table of 5000 empty rows took %d MiB, %v", grown, err)
	}
}

// The inputs of a call are many times as large in memory as what is sent.
func TestACallKeepsItsInputsOnlyWhereItsAnswerReadsThem(t *testing.T) {
	const services = `
thing: ${id}
announce: d/{id}/online
services:
  Plain:
    inputs: {t: INFOTABLE}
    output: NUMBER
    request: {topic: "d/${id}/plain/${request}", payload: '1'}
    reply: {topic: "d/{id}/plain/{request}/reply", result: payload}
  Reads:
    inputs: {t: INFOTABLE}
    output: NUMBER
    request: {topic: "d/${id}/reads/${request}", payload: '1'}
    reply: {topic: "d/{id}/reads/{request}/reply", result: 'len(inputs.t)'}
`
	e := engine(t, profileOf(services))
	put(t, e, "d/a/online", "{}")
	rows := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: "n", Type: alwayson.TypeNumber}}}
	for range 50_000 {
		rows.Rows = append(rows.Rows, []alwayson.Value{alwayson.NewNumber(1)})
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	call := func(service string) (*mapping.Call, int64) {
		before := heap()
		c, err := e.Call("a", service, alwayson.OneRow(alwayson.Named{Name: "t", Value: alwayson.NewTable(rows)}))
		if err != nil {
			t.Fatal(err)
		}
		return c, heap() - before
	}
	c, kept := call("Plain")
	if kept > 5<<20 {
		t.Errorf("%d bytes are kept of 50,000 rows that nothing reads", kept)
	}
	if got := reply(t, e, c, "d/a/plain/"+c.Request+"/reply", "7"); got != "ok 7" {
		t.Errorf("got %s", got)
	}
	c, _ = call("Reads")
	if got := reply(t, e, c, "d/a/reads/"+c.Request+"/reply", "7"); got != "ok 50000" {
		t.Errorf("got %s", got)
	}
	runtime.KeepAlive(rows)
}
