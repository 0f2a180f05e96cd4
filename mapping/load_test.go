package mapping_test

import (
	"strings"
	"testing"

	"thingbridge/mapping"
)

func TestProblemsAreNamedWithTheirPlace(t *testing.T) {
	good := func(body string) string { return profileOf("thing: ${id}\nannounce: x/{id}\n" + body) }
	for _, tt := range []struct{ name, profile, want string }{
		{"an unknown key", good("topics: 1"), `test.yaml:5:5: profiles[0].topics: unknown key "topics"; expected one of name`},
		{"a key in the wrong case is guessed", good("Services: {}"), `did you mean services?`},
		{"a key that stands twice", good("leave: a/{id}\nleave: b/{id}"), `the key stands twice`},
		{"a profile that is text", "profiles: [native]", `test.yaml:1:12: profiles[0]: the text "native" stands here; expected a mapping`},
		{"an empty list", "profiles: []", `profiles: the list is empty; expected at least one profile`},
		{"profiles that are no list", "profiles: {a: 1}", `test.yaml:1:11: profiles: a mapping stands here; expected a list of profiles`},
		{"an unknown preset", "profiles: [{preset: nativ}]", `test.yaml:1:21: profiles[0].preset: there is no preset "nativ"`},
		{"an unknown parameter of a preset", "profiles: [{preset: native, with: {base: x}}]", `profiles[0].with.base: the preset has no parameter "base"`},
		{"no name", "profiles: [{thing: a, announce: x}]", `profiles[0]: the profile has no name`},
		{"no thing", "profiles: [{name: p, announce: x}]", `profiles[0]: the profile does not say how its Things are named; expected thing:`},
		{"no announcement", "profiles: [{name: p, thing: x}]", `the profile does not say how its devices announce themselves`},
		{"a duration without unit", good("expire_after: 30"), `test.yaml:5:19: profiles[0].expire_after: the duration 30 has no unit; expected a duration such as 10s`},
		{"a duration that is none", good("queue: soon"), `"soon" is not a duration`},
		{"an unknown name in an expression", good("properties: {topic: 'x/{id}/v', values: {a: paylaod.a}}"), `profiles[0].properties.values.a: the name "paylaod" is not known here; expected one of bridge, device, id, now, payload, retained, topic`},
		{"an expression that does not parse", good("properties: {topic: 'x/{id}/v', values: {a: payload.}}"), `profiles[0].properties.values.a: `},
		{"an unknown function", good("properties: {topic: 'x/{id}/v', values: {a: exec(payload)}}"), `exec is not a function`},
		{"the clock", good("properties: {topic: 'x/{id}/v', values: {a: now()}}"), `now is not a function`},
		{"the whole environment", good("properties: {topic: 'x/{id}/v', values: {a: '$env'}}"), `$env is not known`},
		{"a method", good("properties: {topic: 'x/{id}/v', values: {a: payload.f()}}"), `is not a function`},
		{"closures that nest twice", good("properties: {topic: 'x/{id}/v', values: {a: 'count(payload, count(payload, count(payload, true) > 1) > 1)'}}"), `closures nest more than once, so the time is not bounded`},
		{"a level in a topic that is sent to", good("writes: {w: {topic: 'x/{id}/w'}}"), `{id} stands for a level only where a topic is listened to; here it would stay as it is; expected ${id}`},
		{"a request in a topic that is sent to", good("services: {S: {request: {topic: 'x/${id}/{request}'}}}"), `{request} stands for a level only where a topic is listened to`},
		{"a level in a Thing's name", strings.Replace(good(""), "thing: ${id}", "thing: acme-{id}", 1), `{id} stands for a level only where a topic is listened to`},
		{"a level named like a function", good("leave: 'x/{id}/{count}'"), `a level cannot be named "count"`},
		{"a level named like a variable", good("leave: 'x/{id}/{payload}'"), `a level cannot be named "payload"`},
		{"the rest of a topic in its middle", good("leave: 'x/{id...}/y'"), `takes the rest of the topic and must be its last level`},
		{"a wildcard within a level", good("leave: 'x/{id}/a+'"), `the level "a+" mixes a wildcard with text`},
		{"a template that does not close", profileOf("thing: a-${id\nannounce: x/{id}"), `${ is not closed by }`},
		{"a payload template that is no JSON", good("writes: {a: {topic: 'x/y', payload: '{\"a\": ${value}'}}"), `the payload is not JSON once its ${…} are filled`},
		{"a request topic with a wildcard", good("writes: {a: {topic: 'x/+'}}"), `"x/+" is not a topic; expected a topic without wildcards`},
		{"what is gathered and makes none", profileOf("thing: ${id}\nannounce: {topic: 'x/{id}', gather: 1s, creates: false}"), `profiles[0].announce.creates: what is gathered makes one device together; expected gather without it`},
		{"a time-out over the platform's", good("services: {A: {timeout: 26s, request: {topic: a/b}}}"), `profiles[0].services.A.timeout: `},
		{"a reply that is for no call", good("services: {A: {request: {topic: a/b}, reply: {topic: 'x/{id}/r'}}}"), `nothing says which call a reply is for; expected a level {request}`},
		{"a failure of what nothing waits for", good("writes: {a: {topic: a/b, fail: {topic: z/log, error: payload}}}"), `nothing waits for it; expected reply or confirm: echo beside it`},
		{"what a name is made of, where there is none", good("properties: {topic: 'x/{id}/r', from: '1', values: payload}"), `properties.from: from belongs to a property with a computed name; expected value: an expression beside it`},
		{"declared beside the name of a service", good("services: {A: {declared: true, request: {topic: a/b}}}"), `a service that has its name here is declared by it`},
		{"a beginning that changes nothing", good("services: {A: {request: {topic: a/b}, reply: {topic: 'x/{id}/r', serial: true, begun: payload}}}"), `reply.begun: nothing is sent after the call, so it does not matter whether it has begun; expected finally beside it`},
		{"something sent after a call that nothing ends", good("services: {A: {request: {topic: a/b}, finally: {topic: a/c}}}"), `services.A.finally: the call ends as soon as it is sent, so there is nothing to send after it; expected reply beside it`},
		{"a finally without a topic", good("services: {A: {request: {topic: a/b}, reply: {topic: 'x/{id}/r', serial: true}, finally: {payload: x}}}"), `what is sent finally has no topic`},
		{"a finally that sees the inputs", good("services: {A: {request: {topic: a/b}, reply: {topic: 'x/{id}/r', serial: true}, finally: {topic: a/c, payload: '${inputs.x}'}}}"), `inputs`},
		{"a retain that is no truth", good("services: {A: {request: {topic: a/b, retain: 1}}}"), `true or false`},
		{"a request id that is not sent", good("services: {A: {request: {topic: a/b}, reply: {topic: 'x/{id}/r/{request}'}}}"), `the reply is told by its request id, but nothing sent holds it`},
		{"an unknown base type", good("properties: {topic: 'x/{id}/v', values: {a: {value: payload, type: FLOAT}}}"), `profiles[0].properties.values.a.type: "FLOAT" is no base type`},
		{"an unknown input type", good("services: {A: {inputs: {n: INT}, request: {topic: a/b}}}"), `profiles[0].services.A.inputs.n: "INT" is no base type`},
		{"values without a name", good("properties: {topic: 'x/{id}/v', value: payload}"), `the value has no name; expected property: a name, or a level {property}`},
		{"an unknown format", good("properties: {topic: 'x/{id}/v', format: xml, values: payload}"), `"xml" is not known here; expected one of auto, json`},
		{"an unknown decoder", good("decoder: magic"), `there is no decoder "magic"`},
		{"a topic that names no device", good("properties: {topic: y/v, values: payload}"), `test.yaml:5:25: profiles[0].properties.topic: nothing in the topic y/v says which Thing it is of`},
		{"a topic that a device names", good("properties: {topic: '${device.t}', values: payload}"), `the topic starts with what a device says; expected allow_topics`},
		{"a topic that a device names in part", good("writes: {a: {topic: '${lower(device.t)}/x'}}"), `the topic starts with what a device says; expected allow_topics`},
		{"let under the name of a level", profileOf("thing: ${id}\nannounce: {topic: 'x/{id}', let: {id: payload.x}}"), `the topic has a level named "id" already`},
		{"full without a list", profileOf("thing: ${id}\nannounce: {topic: 'x/{id}', full: true}"), `full belongs to a list`},
		{"warning: a parameter that nothing uses", good("parameters: {base: x}"), `warning: the parameter "base" is never used`},
		{"warning: a remembered value that nothing uses", profileOf("thing: ${id}\nannounce: {topic: 'x/{id}', let: {m: payload.m}}"), `warning: the value "m" is never used`},
		{"warning: a level that nothing uses", good("leave: 'x/{id}/{site}/bye'"), `test.yaml:5:12: profiles[0].leave: warning: nothing uses the level {site}; + would do`},
		{"warning: two profiles hear the same", "profiles: [{preset: native}, {name: p, thing: '${id}', announce: 'things/{id}/+', leave: '{id}/bye'}]", `test.yaml:1:66: profiles[1].announce: warning: p/announce/1 hears things/+/announce as things/{id}/+, and native/announce/1 as things/{thing}/announce: a device that both know becomes two Things`},
		{"warning: filters that overlap", good("leave: ['{id}/a/+', '{id}/+/b']"), `test.yaml:5:25: profiles[0].leave[1]: warning: the filters +/a/+ and +/+/b overlap and neither covers the other: some brokers deliver a message on +/a/b twice`},
		{"a required input without a value", good("services: {A: {inputs: {n: {type: NOTHING, required: true}}, request: {topic: a/b}}}"), `profiles[0].services.A.inputs.n: a NOTHING has no value and cannot be required`},
		{"warning: two rules for the same", good("leave: ['x/{id}/a', 'x/{id}/a']"), `test.yaml:5:25: profiles[0].leave[1]: warning: the rule hears the same messages as p/leave/1`},
		{"warning: two presets hear the same", "profiles: [{preset: native}, {preset: native}]", `test.yaml:1:39: profiles[1].preset: warning: native-2/announce/1 hears`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, problems := load(t, tt.profile)
			var lines []string
			failed := false
			for _, problem := range problems {
				lines = append(lines, problem.Error())
				failed = failed || !problem.Warning
			}
			got := strings.Join(lines, "\n")
			if !strings.Contains(got, tt.want) {
				t.Errorf("problems:\n%s\nwant\n%s", got, tt.want)
			}
			if (p == nil) != failed {
				t.Errorf("profiles %v with problems\n%s", p, got)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	_, problems := load(t, `profiles:
  - {preset: nope}
  - name: p
    thing: ${x}
    announce: a/{id}
    expire_after: 5
    bogus: 1
`)
	if len(problems) != 4 {
		t.Errorf("%d problems: %v", len(problems), problems)
	}
}

func TestPresetsTakeParametersAndOverrides(t *testing.T) {
	e := engine(t, `profiles: [{preset: native, name: n2, queue: 1m, template: Device}]`)
	if got := show(put(t, e, "things/a/announce", `{}`)); got != "announced a live=true queue=1m0s\n" {
		t.Error(got)
	}
	if d := e.Device("a"); d.Profile != "n2" || d.Definitions.Template != "Device" {
		t.Errorf("device %+v", d)
	}
}

func TestThingNames(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"pump-1", "pump-1"}, {"a b", "a b"}, {"  a   b ", "a b"}, {"0x00:12/x+y", "0x00_12_x_y"}, {`a*"<>`, "a____"},
		{"me", "me_"}, {"Me", "Me_"}, {"Größe", "Größe"}, {"a\x00b", "a_b"}, {"fan😀", "fan_"}, {"\xff", "_"}, {"日本", "日本"},
		{"", ""}, {"  ", ""}, {strings.Repeat("x", 256), ""},
	} {
		got, err := mapping.ThingName(tt.raw)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q became %q %v, want %q", tt.raw, got, err, tt.want)
		}
		if err == nil {
			if err := mapping.CheckThingName(got); err != nil {
				t.Errorf("%q is not stable: %v", got, err)
			}
		}
	}
}

func TestProfilesThatKeepApartAreNotWarnedOf(t *testing.T) {
	for name, profile := range map[string]string{
		"a wide filter and one within it":      profileOf("thing: ${id}\nannounce: x/{id}\nleave: ['x/{id}/#', 'x/{id}/bye']"),
		"two filters within a third":           profileOf("thing: ${id}\nannounce: x/{id}\nleave: ['x/{id}/a/+', 'x/{id}/+/b', 'x/{id}/#']"),
		"two presets":                          "profiles: [{preset: native}, {preset: tasmota}]",
		"the system's topics":                  profileOf("thing: ${id}\nannounce: $SYS/{id}\nleave: '+/{id}'"),
		"names that a rule itself understands": profileOf("thing: ${id}\nannounce: x/{id}\nproperties: {topic: 'x/{id}/{property}', value: payload}\nevents: {topic: 'x/{id}/e/{event}'}"),
	} {
		if _, problems := load(t, profile); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
