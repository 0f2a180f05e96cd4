package mapping_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// load compiles profiles written as YAML.
func load(t testing.TB, text string) (*mapping.Profiles, []mapping.Problem) {
	t.Helper()
	var doc struct{ Profiles yaml.Node }
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return mapping.Load(&doc.Profiles, "test.yaml", presets.Open)
}

func engine(t testing.TB, text string) *mapping.Engine {
	t.Helper()
	p, problems := load(t, text)
	for _, problem := range problems {
		if !problem.Warning {
			t.Error(problem)
		}
	}
	if p == nil {
		t.FailNow()
	}
	return mapping.NewEngine(p, testOptions())
}

const pump = `
profiles:
  - name: acme-pump
    parameters: {base: acme}
    thing: acme-${id}
    template: AcmePump
    announce: {topic: "${base}/{site}/{id}/hello", when: 'payload.kind == "pump"', let: {model: payload.model}}
    presence: {topic: "${base}/{site}/{id}/status", online: 'payload == "online"', offline: 'payload == "offline"'}
    leave:    {topic: "${base}/{site}/{id}/bye"}
    expire_after: 5m
    queue: '=device.model == "S" ? "1h" : nil'
    description: a ${device.model} at ${site}
    properties:
      - topic: ${base}/{site}/{id}/telemetry
        time: payload.ts
        values:
          flow:    {value: payload.flow, type: NUMBER}
          running: {value: 'payload.state == "ON"', type: BOOLEAN}
      - {topic: "${base}/{site}/{id}/raw/{property}", value: payload, type: NUMBER}
    writes:
      setpoint: {type: NUMBER, topic: "${base}/${site}/${id}/set", payload: '{"setpoint": ${value}}', reply: {echo: 'payload.setpoint == value', topic: "${base}/{site}/{id}/telemetry"}}
    services:
      Reset:
        description: restarts the pump
        inputs: {hard: BOOLEAN}
        output: STRING
        timeout: 10s
        request: {topic: "${base}/${site}/${id}/cmd/reset/${request}", payload: "${toJSON(inputs)}"}
        reply:   {topic: "${base}/{site}/{id}/cmd/reset/{request}/reply", result: payload.result, error: payload.error}
    events:
      - {topic: "${base}/{site}/{id}/alarm", name: Alarm, fields: {code: {value: payload.code, type: INTEGER}}}
`

func profileOf(body string) string {
	lines := strings.Split(strings.TrimSpace(body), "\n")
	return "profiles:\n  - name: p\n    " + strings.Join(lines, "\n    ") + "\n"
}

const sites = `
thing: s-${id}
announce:
  - {topic: "s/{site}/{id}/hello"}
  - {topic: "s/{site}/{id}/more", define: '{"services": {"S": {}}}'}
leave: {topic: "s/{site}/{id}/bye"}
properties: {topic: "s/{site}/{id}/v", values: payload}
`

func TestLanguage(t *testing.T) {
	const list = `
thing: z-${device.ieee}
allow_topics: ["z/#"]
announce:
  topic: z/devices
  each: filter(payload, .type != "Coordinator")
  full: true
  let: {ieee: item.ieee, friendly: item.name}
  define: '{"properties": fromPairs(map(item.props, [#.name, {"type": #.type}]))}'
presence:
  - {topic: z/state, online: payload.state == "online", offline: payload.state == "offline", all: true}
  - {topic: "z/${device.friendly}/availability"}
properties:
  - {topic: "z/{friendly...}", when: type(payload) == "map", values: payload}
`
	tests := []struct {
		name, profile string
		steps         []string // "topic payload", each handled and its devices Put
		want          string   // of the last step
	}{
		{"a condition keeps other devices out", pump, []string{`acme/a/1/hello {"kind":"fan"}`}, ""},
		{"levels and let name the Thing and its words", pump, []string{`acme/a/1/hello {"kind":"pump","model":"S"}`}, "announced acme-1 live=true expires=5m0s queue=1h0m0s\n"},
		{"data before the announcement waits", pump, []string{`acme/a/1/telemetry {"flow":1}`}, "unclaimed acme-pump acme-1\n"},
		{"values by name, with time", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/telemetry {"flow":"2.5","state":"ON","ts":1700000000000}`},
			"values acme-1 flow=NUMBER:2.5@1700000000000 running=BOOLEAN:true@1700000000000\nreply acme-1 \"\"\n"},
		{"an absent member is no value", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/telemetry {}`},
			"rejected acme-1 null: flow: no value\nvalues acme-1 running=BOOLEAN:false\nreply acme-1 \"\"\n"},
		{"a level names the property", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/raw/x 4`}, "values acme-1 x=NUMBER:4\n"},
		{"a computed event", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/alarm {"code":4,"x":1}`}, `event acme-1 Alarm [{"code":4}]` + "\n"},
		{"leave forgets", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/bye x`}, "left acme-1 by acme/a/1/bye\n"},
		{"leave of an unknown device is nothing", pump, []string{`acme/a/1/bye x`}, ""},
		{"another message on the topic of an announcement takes nothing back", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/a/1/hello {"kind":"fan"}`}, ""},
		{"the levels of another site are another device's", pump, []string{`acme/a/1/hello {"kind":"pump"}`, `acme/b/1/status offline`},
			"rejected acme-1 identity: the Thing belongs to profile acme-pump on acme/a/1/hello, whose site is \"a\"\n"},
		{"another site's further word adds nothing", profileOf(strings.Replace(sites, "define", "creates: false, define", 1)), []string{`s/a/1/hello {}`, `s/b/1/more {}`},
			"rejected s-1 identity: the Thing belongs to profile p on s/a/1/hello, whose site is \"a\"\n"},
		{"levels may differ where messages of one rule make one device", profileOf(strings.Replace(sites, "define", "merge: true, define", 1)), []string{`s/a/1/hello {}`, `s/b/1/more {}`, `s/b/1/v {"x":3}`}, "values s-1 x=NUMBER:3\n"},
		{"a list announces each item", profileOf(list), []string{`z/devices [{"ieee":"1","name":"hall/lamp","props":[{"name":"on","type":"BOOLEAN"}]},{"ieee":"0","type":"Coordinator"},{"ieee":"2","name":"b"}]`},
			"announced z-1 live=false\nannounced z-2 live=false\n"},
		{"what a full list lacks has left", profileOf(list), []string{`z/devices [{"ieee":"1","name":"a"},{"ieee":"2","name":"b"}]`, `z/devices [{"ieee":"2","name":"b"}]`},
			"announced z-2 live=false\nleft z-1 by z/devices\n"},
		{"a list that names a Thing twice", profileOf(list), []string{`z/devices [{"ieee":"1","name":"a"},{"ieee":"1","name":"b"}]`}, "announced z-1 live=false\nrejected z-1 identity: the list names the Thing twice; the first counts\n"},
		{"an empty list payload leaves all", profileOf(list), []string{`z/devices [{"ieee":"1","name":"a"}]`, `z/devices `}, "left z-1 by z/devices\n"},
		{"a broken list leaves none", profileOf(list), []string{`z/devices [{"ieee":"1","name":"a"}]`, `z/devices {"a":1}`}, "rejected  expression: each: filter(payload, .type != \"Coordinator\"): a list is wanted here, not an object\n"},
		{"names with slashes match by what let remembered", profileOf(list), []string{`z/devices [{"ieee":"1","name":"hall/lamp","props":[{"name":"on","type":"BOOLEAN"}]}]`, `z/hall/lamp {"on":true}`},
			"values z-1 on=BOOLEAN:true\n"},
		{"a device's own topic", profileOf(list), []string{`z/devices [{"ieee":"1","name":"hall/lamp"}]`, `z/hall/lamp/availability offline`}, "presence z-1 online=false\n"},
		{"all speaks for the profile", profileOf(list), []string{`z/devices []`, `z/state {"state":"offline"}`}, "presence p online=false\n"},
		{"a rename moves the topics", profileOf(list), []string{`z/devices [{"ieee":"1","name":"a"}]`, `z/devices [{"ieee":"1","name":"b"}]`, `z/b/availability online`}, "presence z-1 online=true\n"},
		{"several messages make one device", profileOf(`
thing: t-${mac}
announce:
  - {topic: "d/{mac}/config", let: {t: payload.t}, define: '{"description": "c"}'}
  - {topic: "d/{mac}/sensors", define: '{"properties": {"a": {"type": payload.a}}, "template": device.t}'}
properties: {topic: "tele/{t}/SENSOR", values: 'flatten(payload, "_")'}
`), []string{`d/1/config {"t":"oven"}`, `d/1/sensors {"a":"INTEGER"}`, `tele/oven/SENSOR {"a":"5","E":{"P":1.5}}`}, "values t-1 E_P=NUMBER:1.5 a=INTEGER:5\n"},
		{"one of several sources leaves alone", profileOf(`
thing: t-${mac}
announce: [{topic: "d/{mac}/config"}, {topic: "d/{mac}/sensors"}]
`), []string{`d/1/config {}`, `d/1/sensors {}`, `d/1/sensors `}, "announced t-1 live=true\n"},
		{"many messages of one rule make one device", profileOf(`
thing: ${dev}
allow_topics: [homie/#]
announce:
  - {topic: "homie/{dev}/$homie"}
  - {topic: "homie/{dev}/{node}/{prop}/$datatype", merge: true, define: '{"properties": fromPairs([[node + "_" + prop, {"type": payload == "float" ? "NUMBER" : "STRING", "topic": "homie/" + dev + "/" + node + "/" + prop, "value": "payload"}]])}'}
  - {topic: "homie/{dev}/{node}/{prop}/$unit", merge: true, define: '{"properties": fromPairs([[node + "_" + prop, {"unit": payload}]])}'}
`), []string{`homie/a/$homie 4.0`, `homie/a/n/p/$datatype float`, `homie/a/n/q/$datatype string`, `homie/a/n/p/$unit bar`, `homie/a/n/q/$unit m`, `homie/a/n/q 12.50`}, "values a n_q=STRING:\"12.50\"\n"},
		{"the answer to a question announces more", profileOf(`
thing: ${id}
announce:
  - {topic: "{id}/online", when: payload == true, empty: ignore}
  - {topic: "${bridge.reply}/{id}/rpc", when: payload.id == "info", define: '{"properties": {"t": {"type": payload.result.t}}}'}
ask: {on: announce, topic: "${id}/rpc", payload: '{"id":"info","src":"${bridge.reply}/${id}","method":"GetInfo"}'}
properties: {topic: "{id}/v", values: payload}
`), []string{`s1/online true`, `thingbridge/reply/s1/rpc {"id":"info","result":{"t":"INTEGER"}}`, `s1/v {"t":"4"}`}, "values s1 t=INTEGER:4\n"},
		{"hold keeps values back", profileOf(`
thing: ${id}
announce: h/{id}/$state
presence: {topic: "h/{id}/$state", hold: payload == "init", online: 'payload in ["ready","init"]', offline: payload == "lost"}
`), []string{`h/a/$state init`, `h/a/$state ready`}, "announced a live=true\nhold a false\npresence a online=true\n"},
		{"parent takes children along", profileOf(`
thing: ${id}
announce: {topic: "h/{id}/d", let: {root: payload.root}}
presence: [{topic: "h/{id}/s"}, {parent: device.root}]
`), []string{`h/a/d {"root":"hub"}`}, "announced a live=true parent=hub\n"},
		{"computed names and types", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", property: '=payload.n + "_v"', type: '=payload.t', value: payload.v}
`), []string{`x/a {}`, `x/a/v {"n":"q","t":"INTEGER","v":"7"}`}, "values a q_v=INTEGER:7\n"},
		{"each of a list of values", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", each: payload, property: =item.n, value: item.v}
`), []string{`x/a {}`, `x/a/v [{"n":"q","v":1},{"n":"r","v":"on"}]`}, "values a q=NUMBER:1 r=STRING:\"on\"\n"},
		{"text format never reads JSON", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/{property}", format: text, value: payload}
`), []string{`x/a {}`, `x/a/v 5`}, "values a v=STRING:\"5\"\n"},
		{"number format refuses text", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/{property}", format: number, value: payload * 2}
`), []string{`x/a {}`, `x/a/v no`}, "rejected a malformed: payload: not a number\n"},
		{"raw bytes by offset", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", format: raw, values: {a: 'read(payload, 0, "u16be")', b: 'read(payload, 0, "i16le")', c: 'read(payload, 9, "u8")'}}
`), []string{`x/a {}`, "x/a/v \x01\xff"}, "rejected a null: c: no value\nvalues a a=NUMBER:511 b=NUMBER:-255\n"},
		{"MessagePack", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", format: msgpack, values: payload}
`), []string{`x/a {}`, "x/a/v \x82\xa1a\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1b\xc3"}, "values a a=NUMBER:1.5 b=BOOLEAN:true\n"},
		{"CBOR", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", format: cbor, values: payload}
`), []string{`x/a {}`, "x/a/v \xa1\x61a\x18\x2a"}, "values a a=NUMBER:42\n"},
		{"a function of text is told what is no text", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", values: {a: upper(payload.a), b: lower(payload.b), c: trim(payload.c), d: lower(payload.d)}}
`), []string{`x/a {}`, `x/a/v {"b":{},"c":[1],"d":true}`}, "rejected a expression: a: upper(payload.a): text is wanted here, not nothing\n" +
			"rejected a expression: b: lower(payload.b): text is wanted here, not an object\n" +
			"rejected a expression: c: trim(payload.c): text is wanted here, not a list\nrejected a expression: d: lower(payload.d): text is wanted here, not true or false\n"},
		{"a fault in one value leaves the others", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", values: {a: lower(payload.a), b: payload.b}}
`), []string{`x/a {}`, `x/a/v {"a":5,"b":1}`}, "rejected a expression: a: lower(payload.a): text is wanted here, not a number\nvalues a b=NUMBER:1\n"},
		{"arithmetic with what is absent is absent", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", values: {a: payload.a.b.c * 10 + 1, b: 'payload.q > 3'}}
`), []string{`x/a {}`, `x/a/v {"a":"text"}`}, "rejected a null: a: no value\nvalues a b=BOOLEAN:false\n"},
		{"an inferred type stays", profileOf(`
thing: ${id}
announce: x/{id}
properties: {topic: "x/{id}/v", values: payload}
`), []string{`x/a {}`, `x/a/v {"a":1,"s":"x"}`, `x/a/v {"a":"many","s":5}`}, "rejected a type: a: a NUMBER is wanted, not the text \"many\"\nvalues a s=STRING:\"5\"\n"},
		{"levels with text around them", profileOf(`
thing: ${id}
announce: "x/dev-{id}"
properties: {topic: "x/dev-{id}/switch:{n}", property: "switch${n}", value: payload}
`), []string{`x/dev-a {}`, `x/dev-a/switch:0 true`}, "values a switch0=BOOLEAN:true\n"},
		{"define may bring topics under allow_topics", profileOf(`
thing: ${id}
allow_topics: [data/#]
announce: {topic: "x/{id}", define: '{"properties": {"t": {"type": "INTEGER", "topic": payload.t, "value": "payload.v"}}}'}
`), []string{`x/a {"t":"data/7"}`, `data/7 {"v":3}`}, "values a t=INTEGER:3\n"},
		{"define may not bring topics elsewhere", profileOf(`
thing: ${id}
allow_topics: [data/#]
announce: {topic: "x/{id}", define: '{"properties": {"t": {"type": "INTEGER", "topic": payload.t, "value": "payload.v"}}}'}
`), []string{`x/a {"t":"other/7"}`}, "rejected a definition: properties.t.topic: the topic \"other/7\" must not be used\nannounced a live=true\n"},
		{"define may not bring wildcards", profileOf(`
thing: ${id}
allow_topics: [data/#]
announce: {topic: "x/{id}", define: '{"properties": {"t": {"type": "INTEGER", "topic": payload.t}}}'}
`), []string{`x/a {"t":"data/#"}`}, "rejected a definition: properties.t.topic: \"data/#\" is not a topic\nannounced a live=true\n"},
		{"a learned topic is never another Thing's", profileOf(`
thing: ${id}
allow_topics: [data/#]
announce: {topic: "x/{id}", define: '{"properties": {"t": {"type": "INTEGER", "topic": payload.t}}}'}
`), []string{`x/a {"t":"data/1"}`, `x/b {"t":"data/1"}`}, "rejected b identity: the topic data/1 belongs to the Thing a\nannounced b live=true\n"},
		{"the way up for other devices", profileOf(`
thing: ${id}
announce: x/{id}
platform: {topic: "x/{id}/up/{service}/{request}", inputs: payload.args, reply: "x/${id}/down/${request}"}
`), []string{`x/a {}`, `x/a/up/Log/9 {"args":{"m":1}}`}, "upward a Log 9 to x/a/down/9 map[m:1] \n"},
		{"the way up with a payload that is none", profileOf(`
thing: ${id}
announce: x/{id}
platform: {topic: "x/{id}/up/{service}/{request}", format: json, reply: "x/${id}/down/${request}"}
`), []string{`x/a {}`, `x/a/up/Log/9 {`}, "rejected a malformed: payload: not JSON\nupward a Log 9 to x/a/down/9 <nil> payload: not JSON\n"},
		{"the way up of a device that another profile knows", profileOf(`
thing: ${id}
announce: x/{id}
platform: {topic: "u/{id}/{service}/{request}", reply: "x/${id}/down/${request}"}
`) + `
  - name: other
    thing: other-${id}
    announce: y/{id}
    platform: {topic: "u/{id}/{service}/{request}", reply: "y/${id}/down/${request}"}
`, []string{`y/a {}`, `u/a/Log/9 {}`}, "upward other-a Log 9 to y/a/down/9 map[] \n"},
		{"the way up of a device that no profile knows is told once", profileOf(`
thing: ${id}
announce: x/{id}
platform: {topic: "u/{id}/{service}/{request}", reply: "x/${id}/down/${request}"}
`) + `
  - name: other
    thing: other-${id}
    announce: y/{id}
    platform: {topic: "u/{id}/{service}/{request}", reply: "y/${id}/down/${request}"}
`, []string{`u/a/Log/9 {}`}, "upward a Log 9 to x/a/down/9 <nil> unannounced\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := engine(t, tt.profile)
			got := ""
			for _, step := range tt.steps {
				topic, payload, _ := strings.Cut(step, " ")
				effects := put(t, e, topic, payload)
				for _, eff := range effects {
					if left, ok := eff.(*mapping.Left); ok {
						e.Remove(left.Thing)
					}
				}
				got = show(effects)
			}
			if got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}
