package mapping_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// splitDecoder announces a device for each "id=topic" of a payload.
type splitDecoder struct{}

func (splitDecoder) Decode(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	text, ok := in.Value.(string)
	if !ok {
		return nil, errors.New("text is wanted")
	}
	var out []mapping.Fragment
	for _, line := range strings.Split(text, ";") {
		id, topic, ok := strings.Cut(line, "=")
		if !ok {
			out = append(out, mapping.Fragment{Thing: line, Skipped: []string{line + ": no topic"}})
			continue
		}
		out = append(out, mapping.Fragment{Thing: id, Let: map[string]any{"base": topic}, Rules: map[string]any{
			"description": "by decoder",
			"presence":    map[string]any{"topic": topic + "/avail"},
			"properties": map[string]any{
				in.Levels["part"]: map[string]any{"type": "NUMBER", "topic": topic + "/" + in.Levels["part"], "value": "payload.v",
					"write": map[string]any{"topic": topic + "/set", "payload": `{"v": ${value}, "d": "${device.base}"}`}},
			},
			"services":     map[string]any{"Press": map[string]any{"request": map[string]any{"topic": topic + "/press", "payload": "PRESS"}}},
			"expire_after": "1m",
		}})
	}
	return out, nil
}

func init() { mapping.RegisterDecoder("split", splitDecoder{}) }

const decoded = `
decoder: split
allow_topics: [home/#]
announce: {topic: "disc/{part}/config"}
`

func TestADecoderBringsRulesForItsDevices(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string
		want  string
	}{
		{"a device for each fragment", []string{"disc/t/config a=home/a;b=home/b"}, "announced a live=true expires=1m0s\nannounced b live=true expires=1m0s\n"},
		{"its values", []string{"disc/t/config a=home/a", `home/a/t {"v":"3"}`}, "values a t=NUMBER:3\n"},
		{"its presence", []string{"disc/t/config a=home/a", `home/a/avail offline`}, "presence a online=false\n"},
		{"two announcements make one device", []string{"disc/t/config a=home/a", "disc/u/config a=home/a", `home/a/t {"v":3}`}, "values a t=NUMBER:3\n"},
		{"what one announcement no longer names is taken away", []string{"disc/t/config a=home/a", "disc/u/config a=home/a", "disc/t/config b=home/b"},
			"announced b live=true expires=1m0s\nannounced a live=true expires=1m0s\n"},
		{"the last announcement taken back is a leave", []string{"disc/t/config a=home/a", "disc/t/config "}, "left a by disc/t/config\n"},
		{"a topic elsewhere is refused", []string{"disc/t/config a=away/a"},
			"rejected a definition: presence[0].topic: the topic \"away/a/avail\" must not be used\nrejected a definition: properties.t.topic: the topic \"away/a/t\" must not be used\nrejected a definition: writes.t.topic: the topic \"away/a/set\" must not be used\nrejected a definition: services.Press.request.topic: the topic \"away/a/press\" must not be used\nannounced a live=true expires=1m0s\n"},
		{"an error refuses the message", []string{"disc/t/config 5"}, "rejected  definition: text is wanted\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, profileOf(decoded))
			got := ""
			for _, step := range tt.steps {
				topic, payload, _ := strings.Cut(step, " ")
				got = show(put(t, e, topic, payload))
			}
			if got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
	e := engine(t, profileOf(decoded))
	put(t, e, "disc/t/config", "a=home/a")
	w, err := e.Write("a", "t", alwayson.NewNumber(4))
	if err != nil || sent(w) != `home/a/set {"v": 4, "d": "home/a"}`+"\n" {
		t.Errorf("write %+v %v", w, err)
	}
	c, err := e.Call("a", "Press", nil)
	if err != nil || sent(c) != "home/a/press PRESS\n" {
		t.Errorf("call %+v %v", c, err)
	}
	m := e.Metadata("a")
	if m == nil || len(m.Properties) != 1 || m.Properties[0].ReadOnly || len(m.Services) != 1 || m.Description != "by decoder" {
		t.Errorf("metadata %+v", m)
	}
	data, err := e.Save("a")
	if err != nil {
		t.Fatal(err)
	}
	d, err := engine(t, profileOf(decoded)).Restore(data)
	if err != nil || d.Definitions.Properties["t"] == nil || d.Var("base") != "home/a" {
		t.Errorf("restored %+v %v", d, err)
	}
}

func TestPackedPayloads(t *testing.T) {
	pack := func(encoding string, b []byte) string {
		var out bytes.Buffer
		if encoding == "gzip" {
			w := gzip.NewWriter(&out)
			_, _ = w.Write(b)
			w.Close()
		} else {
			w := zlib.NewWriter(&out)
			_, _ = w.Write(b)
			w.Close()
		}
		return out.String()
	}
	bomb := bytes.Repeat([]byte(" "), 2<<20)
	for _, encoding := range []string{"gzip", "deflate"} {
		e := engine(t, profileOf(fmt.Sprintf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", encoding: %s, values: payload}
`, encoding)))
		put(t, e, "x/a", "{}")
		for _, tt := range []struct{ name, payload, want string }{
			{"a packed object", pack(encoding, []byte(`{"a":1}`)), "values a a=NUMBER:1\n"},
			{"a bomb", pack(encoding, bomb), "rejected a too_large: payload: unpacks to over 1048576 bytes: too large\n"},
			{"what is not packed", `{"a":1}`, "rejected a malformed: payload: not " + encoding},
			{"what is cut off", pack(encoding, []byte(`{"a":1}`))[:12], "rejected a malformed: payload: not " + encoding},
		} {
			if got := show(e.Handle(in("x/a/v", tt.payload), nil)); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, %s: %q, want %q", encoding, tt.name, got, tt.want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	p, _ := load(t, "profiles: [{preset: native}]")
	e := mapping.NewEngine(p, mapping.Options{Limits: mapping.Limits{PayloadBytes: 200_000, ValuesPerMessage: 2, DefinitionsPerThing: 3, ListItems: 5}})
	for _, tt := range []struct{ name, topic, payload, want string }{
		{"definitions over the limit are dropped", "things/p/announce", `{"properties":{"a":"NUMBER","b":"NUMBER"},"services":{"S":{},"T":{}}}`, "rejected p too_large: 1 definitions are over the limit of 3 (limits.definitions_per_thing)\nannounced p live=true\n"},
		{"inferred properties count too", "things/p/properties/c", `1`, "rejected p too_large: c: the Thing has 3 properties already\n"},
		{"values of one message", "things/p/properties", `{"a":1,"b":2,"a2":3}`, "rejected p too_large: more than 2 values in one message (limits.values_per_message)\nvalues p a=NUMBER:1 b=NUMBER:2\n"},
		{"items of one list", "things/p/properties/a", `[1,2,3,4,5,6]`, "rejected p too_large: payload: a list or object is too long\n"},
		{"depth", "things/p/properties/a", strings.Repeat("[", 100_000), "rejected p too_large: payload: nested deeper than 64 levels\n"},
		{"bytes", "things/p/properties/a", strings.Repeat("1", 200_001), "rejected  too_large: payload of 200001 bytes; at most 200000 are taken\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(put(t, e, tt.topic, tt.payload)); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// A row has a cell for every column, so that a short list can make a large table.
func TestTheTablesOfOneMessageAreBoundedTogether(t *testing.T) {
	wide := func(columns, rows int) string {
		var b strings.Builder
		b.WriteString("[{")
		for i := range columns {
			fmt.Fprintf(&b, `"c%d":1,`, i)
		}
		return b.String() + `"a":1}` + strings.Repeat(`,{"a":1}`, rows-1) + "]"
	}
	large := wide(900, 400)
	for _, tt := range []struct{ name, topic, payload, want string }{
		{"one value", "things/p/properties/a", wide(900, 1000), "rejected p type: a: an INFOTABLE of 901000 cells"},
		{"the second value", "things/p/properties", `{"a":` + large + `,"b":` + large + `}`, "rejected p type: b: an INFOTABLE of 360400 cells"},
		{"a table in a table", "things/p/properties/c", `[{"x":` + large + `,"y":` + large + `}]`, `rejected p type: c: row 0: column "y": an INFOTABLE of 360400 cells`},
		{"an event", "things/p/events/E", `{"a":` + large + `,"b":` + large + `}`, `rejected p type: E: field "b": an INFOTABLE of 360400 cells`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newNative(t)
			put(t, e, "things/p/announce", `{"properties":{"a":"INFOTABLE","b":"INFOTABLE"},"events":{"E":{"fields":{"a":"INFOTABLE","b":"INFOTABLE"}}}}`)
			if got := show(e.Handle(in(tt.topic, tt.payload), nil)); !strings.Contains(got, tt.want) {
				t.Errorf("got %.300s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestExplainTellsWhatEachRuleMakesOfAMessage(t *testing.T) {
	e := engine(t, pump)
	explain := func(topic, payload string) string {
		var b strings.Builder
		for _, x := range e.Explain(in(topic, payload)) {
			fmt.Fprintf(&b, "%s %v %s|%s", x.Rule, x.Levels, x.Why, show(x.Effects))
		}
		return b.String()
	}
	if got, want := explain("acme/a/1/hello", `{"kind":"fan"}`), "acme-pump/announce/1 map[id:1 site:a] its condition when is not true|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := explain("acme/a/1/raw/x", `1`), "acme-pump/properties/2 map[id:1 property:x site:a] |unclaimed acme-pump acme-1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	put(t, e, "acme/a/1/hello", `{"kind":"pump"}`)
	if got, want := explain("acme/a/1/status", `tired`), "acme-pump/presence/1 map[id:1 site:a] |rejected acme-1 presence: neither online nor offline is true of \"tired\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := e.Explain(in("nobody/listens", "")); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestClosuresHaveABudget(t *testing.T) {
	e := engine(t, profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", values: {n: 'count(payload, count(payload, true) > 0)'}}
`))
	put(t, e, "x/a", "{}")
	long := "[" + strings.Repeat("1,", 4999) + "1]"
	if got := show(e.Handle(in("x/a/v", long), nil)); !strings.Contains(got, "the closures visit more than 1000000 items") {
		t.Errorf("got %s", got)
	}
}

func TestAnnouncingTheSameAgainSharesTheDevice(t *testing.T) {
	e := newNative(t)
	msg := in("things/a/announce", `{"properties":{"x":"NUMBER"}}`)
	msg.Retained = true
	first := e.Handle(msg, nil)[0].(*mapping.Announced)
	if _, err := e.Put(first.Device); err != nil {
		t.Fatal(err)
	}
	if again := e.Handle(msg, nil)[0].(*mapping.Announced); again.Device != first.Device || again.Live {
		t.Errorf("again %+v", again)
	}
	other := in("things/b/announce", `{"properties":{"x":"NUMBER"}}`)
	if b := e.Handle(other, nil)[0].(*mapping.Announced); b.Device.Definitions != first.Device.Definitions || !b.Live {
		t.Errorf("equal definitions are not shared: %+v", b)
	}
}

// What a rule types by an expression, or for names that come with the message, is
// browsed as well as what it declares.
func TestTypedPropertiesWhoseNamesComeWithTheMessageAreBrowsed(t *testing.T) {
	e := engine(t, profileOf(`
thing: ${id}
announce: x/{id}
properties:
  - {topic: "x/{id}/raw/{property}", value: payload, type: NUMBER}
  - {topic: "x/{id}/typed/{name}", property: =name, value: payload, type: '=name == "n" ? "INTEGER" : "STRING"'}
`))
	put(t, e, "x/a", "{}")
	for _, topic := range []string{"x/a/raw/flow", "x/a/typed/n", "x/a/typed/s"} {
		put(t, e, topic, "5")
	}
	got := ""
	for _, p := range e.Metadata("a").Properties {
		got += fmt.Sprintf("%s %s, ", p.Name, p.Type)
	}
	if got != "flow NUMBER, n INTEGER, s STRING, " {
		t.Error(got)
	}
	few, problems := load(t, profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/raw/{property}", value: payload, type: NUMBER}
`))
	if few == nil {
		t.Fatal(problems)
	}
	limited := mapping.NewEngine(few, mapping.Options{Limits: mapping.Limits{DefinitionsPerThing: 1}})
	put(t, limited, "x/a", "{}")
	put(t, limited, "x/a/raw/one", "1")
	if got := show(put(t, limited, "x/a/raw/two", "2")); !strings.Contains(got, "too_large") {
		t.Error(got)
	}
}
