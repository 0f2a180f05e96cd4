package mapping_test

import (
	"testing"

	"thingbridge/mapping"
)

var hostile = []string{
	`{}`, ``, `[]`, `null`, `"x"`, `{"properties":{"a":{"type":"NUMBER","fields":{"b":[]}}}}`, `{"properties":[1],"services":5,"events":"x"}`,
	`{"values":{"values":{}},"time":{},"quality":[]}`, `{"a":1e999,"b":[[[]]],"c":{"latitude":"x","longitude":null}}`, "\x00\xff", `{"":1," ":2,"a\u0000":3}`,
	`{"services":{"S":{"inputs":{"i":{"type":"INFOTABLE","fields":{"f":{"type":"INFOTABLE","fields":{"g":{}}}}}},"timeout":"99h"}}}`, `{"error":{"code":{},"message":[]}}`,
	`{"kind":"pump","model":{"a":1}}`, `[{"ieee":"1","name":"#"},{"ieee":null},5]`, `{"ts":"never","flow":"NaN","state":[]}`,
}

// FuzzHandle hands any payload on any topic to native and to a profile that
// uses much of the language, accepts what it announces, and hands it in again.
func FuzzHandle(f *testing.F) {
	topics := []string{
		"things/p/announce", "things/p/properties", "things/p/properties/a", "things/p/events/e", "things/p/status", "things/p/platform/s/request/1", "things/+/announce",
		"things/p/services/S/reply/1", "things//announce", "acme/a/1/hello", "acme/a/1/telemetry", "acme/a/1/alarm", "z/devices", "z/a/b", "z/state", "$SYS/x", "a\x00b",
	}
	for i := range len(topics) * len(hostile) {
		if mapping.Seeded(i, len(topics)*len(hostile)) {
			f.Add(topics[i%len(topics)], hostile[i/len(topics)])
		}
	}
	const more = `
  - name: z
    thing: z-${device.ieee}
    allow_topics: ["z/#"]
    announce: {topic: z/devices, each: payload, full: true, let: {ieee: item.ieee, friendly: item.name}, define: item.define}
    presence: [{topic: z/state, online: payload.state == "online", offline: payload.state == "offline", all: true}, {topic: "z/${device.friendly}/availability"}]
    properties: {topic: "z/{friendly...}", values: 'flatten(payload, "_")', time: payload.time, quality: payload.quality}
    events: {topic: "z/{friendly}/event", each: payload.list, name: =item.name, data: item}
  - preset: native
`
	profiles, problems := load(f, pump+more)
	if profiles == nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, topic, payload string) {
		e := mapping.NewEngine(profiles, mapping.Options{Limits: mapping.Limits{PayloadBytes: 1 << 16, ValuesPerMessage: 50, DefinitionsPerThing: 20}})
		for _, m := range [][2]string{{"things/p/announce", "{}"}, {"acme/a/1/hello", `{"kind":"pump"}`}, {"z/devices", `[{"ieee":"1","name":"a/b"}]`}, {topic, payload}, {topic, payload}} {
			effects := e.Handle(&mapping.Input{Topic: m[0], Payload: []byte(m[1]), Now: now}, nil)
			e.Explain(&mapping.Input{Topic: m[0], Payload: []byte(m[1]), Now: now})
			for _, eff := range effects {
				checkEffect(t, e, eff)
			}
		}
		for _, d := range e.Devices() {
			if data, err := e.Save(d.Thing); err != nil {
				t.Fatal(err)
			} else if _, err := e.Restore(data); err != nil {
				t.Fatalf("restore %s: %v", data, err)
			}
			e.Metadata(d.Thing)
			e.Remove(d.Thing)
		}
		if left := e.DynamicFilters(); len(left) != 0 {
			t.Fatalf("filters are left: %v", left)
		}
	})
}

func checkEffect(t *testing.T, e *mapping.Engine, eff mapping.Effect) {
	t.Helper()
	switch eff := eff.(type) {
	case *mapping.Announced:
		d := eff.Device
		if err := mapping.CheckThingName(d.Thing); err != nil {
			t.Fatal(err)
		}
		if n := len(d.Definitions.Properties) + len(d.Definitions.Services) + len(d.Definitions.Events); n > 20 {
			t.Fatalf("%d definitions", n)
		}
		change, err := e.Put(d)
		if err != nil {
			return
		}
		for _, f := range change.Subscribe {
			if !mapping.ValidFilter(f) {
				t.Fatalf("filter %q", f)
			}
		}
	case *mapping.Values:
		if len(eff.Values) == 0 || len(eff.Values) > 50 {
			t.Fatalf("%d values", len(eff.Values))
		}
		for _, v := range eff.Values {
			if v.Value.IsNothing() || v.Name == "" || v.Time == 0 {
				t.Fatalf("value %+v", v)
			}
		}
	case *mapping.Upward:
		if !mapping.ValidTopic(eff.ReplyTopic) {
			t.Fatalf("reply topic %q", eff.ReplyTopic)
		}
	case *mapping.Rejected:
		if len(eff.Detail) > 2000 {
			t.Fatalf("a detail of %d bytes", len(eff.Detail))
		}
	}
}
