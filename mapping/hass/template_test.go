package hass_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/mapping"
	"thingbridge/mapping/presets"
)

// engine is one with the preset homeassistant.
func engine(t testing.TB) *mapping.Engine {
	t.Helper()
	return mapping.NewEngine(profiles(t), mapping.Options{})
}

func profiles(t testing.TB) *mapping.Profiles {
	t.Helper()
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{preset: homeassistant}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := mapping.Load(&list, "test.yaml", presets.Open)
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// yields gives what a text sensor with the template says of a payload: the value,
// or why there is none.
func yields(t testing.TB, e *mapping.Engine, template, payload string) string {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := string(mapping.AppendJSON(nil, mapping.Infer(map[string]any{"dev": map[string]any{"ids": "d"}, "stat_t": "d/s", "val_tpl": template})))
	for _, eff := range e.Handle(&mapping.Input{Topic: "homeassistant/sensor/d/config", Payload: []byte(config), Now: now}, nil) {
		switch eff := eff.(type) {
		case *mapping.Announced:
			if _, err := e.Put(eff.Device); err != nil {
				t.Fatal(err)
			}
			if len(eff.Device.Skipped) > 0 {
				_, why, ok := strings.Cut(eff.Device.Skipped[0], template+": ")
				if !ok {
					_, why, _ = strings.Cut(eff.Device.Skipped[0], "…: ") // it was cut
				}
				return "left out: " + why
			}
		case *mapping.Rejected:
			return "refused: " + eff.Detail
		}
	}
	for _, eff := range e.Handle(&mapping.Input{Topic: "d/s", Payload: []byte(payload), Now: now}, nil) {
		switch eff := eff.(type) {
		case *mapping.Values:
			return string(mapping.AppendJSON(nil, eff.Values[0].Value))
		case *mapping.Rejected:
			if eff.Reason == mapping.ReasonNull {
				return "nothing"
			}
			return "no: " + eff.Detail[strings.LastIndex(eff.Detail, ": ")+2:]
		}
	}
	return "unheard"
}

// The wants are what Jinja with Home Assistant's filters yields; where there is
// "nothing" it yields empty text.
func TestTemplates(t *testing.T) {
	const doc = `{"t": 21.456, "n": 7, "neg": -7, "s": "On Air", "list": [1, "two", {"x": 3}], "a": {"b": {"c d": true}}, "nil": null, "num": "12.5", "big": 1e16, "small": 0.00001, "half": 2.5, "csv": "4,5,6", "e": ""}`
	for _, tt := range []struct{ template, want string }{
		{`{{ value_json.t }}`, `"21.456"`},
		{`{{value_json["t"]}}`, `"21.456"`},
		{`{{ value_json.list.0 }}`, `"1"`},
		{`{{ value_json.list[-2] }}`, `"two"`},
		{`{{ value_json.list[2].x }}`, `"3"`},
		{`{{ value_json.list[9] }}`, "nothing"},
		{`{{ value_json.a.b["c d"] }}`, `"True"`},
		{`{{ value_json.no.such.thing }}`, "nothing"},
		{`{{ value_json.nil }}`, "nothing"},
		{`{{ value_json.big }} {{ value_json.small }}`, `"1e+16 1e-05"`},
		{`{{ value_json.t | round }}`, `"21"`},
		{`{{ value_json.t | round(1) }}`, `"21.5"`},
		{`{{ value_json.half | round }}`, `"2"`},
		{`{{ (value_json.t * 10) | round(0, 'ceil') }}`, `"215"`},
		{`{{ value_json.t | round(1, "floor") }}`, `"21.4"`},
		{`{{ value_json.n | float }}`, `"7.0"`},
		{`{{ value_json.num | float + 1 }}`, `"13.5"`},
		{`{{ value_json.num | int }}`, `"12"`},
		{`{{ value_json.s | float(0) }}`, `"0"`},
		{`{{ value_json.s | int(default) }}`, `left out: the name default is not known here`},
		{`{{ value_json.s | float }}`, `no: On Air is no number`},
		{`{{ float(value_json.num, 0) * 2 }}`, `"25.0"`},
		{`{{ value_json.none | default('x') }}`, `"x"`},
		{`{{ value_json.e | default('x', true) }}`, `"x"`},
		{`{{ value_json.s | lower }}-{{ value_json.s | upper }}`, `"on air-ON AIR"`},
		{`{{ value_json.s.split(' ')[1] }}`, `"Air"`},
		{`{{ value_json.csv.split(",")[2] | int + 1 }}`, `"7"`},
		{`{{ value_json.s | replace("On", "Off") | trim | length }}`, `"7"`},
		{`{{ value_json.get('t', 3) }}{{ value_json.get('u', 3) }}`, `"21.4563"`},
		{`{{ value_json.n + 1 - 2 * 3 }}`, `"2"`},
		{`{{ value_json.n / 2 }} {{ value_json.neg // 2 }} {{ value_json.neg % 4 }}`, `"3.5 -4 1"`},
		{`{{ -value_json.n | abs }}`, `"7"`},
		{`{{ value_json.n / 0 }}`, `no: division by zero`},
		{`{{ value_json.n ~ "x" ~ value_json.t }}`, `"7x21.456"`},
		{`{{ 'a' if value_json.n == 7.0 else 'b' }}`, `"a"`},
		{`{{ 'a' if value_json.n != 7 }}`, "nothing"},
		{`{{ 'a' if value_json.n > 6 and value_json.n <= 7 else 'b' }}`, `"a"`},
		{`{{ 'a' if not value_json.e or value_json.no < 3 else 'b' }}`, `"a"`},
		{`{{ value_json.e or 'x' }}`, `"x"`},
		{`{{ value_json.n in [6, 7] }}`, `"True"`},
		{`{{ 'Air' not in value_json.s }}`, `"False"`},
		{`{{ value_json.s > 3 }}`, `no: two numbers or two texts are wanted to compare`},
		{`{{ value_json.n is defined }}{{ value_json.m is not defined }}{{ value_json.nil is defined }}`, `"TrueTrueTrue"`},
		{`{{ iif(value_json.n, 'y', 'n') }}`, `"y"`},
		{`{{ value_json.a | tojson }}`, `"{\"b\":{\"c d\":true}}"`},
		{`{{ value_json.a }}`, `no: an object or a list has no text of its own; tojson gives one`},
		{`{{ value }}`, mustQuote(doc)},
		{`{{ value | length }}`, fmt.Sprintf("%q", fmt.Sprint(len(doc)))},
		{`  {# a comment #} {{- value_json.n -}}  kg `, `"7kg"`},
		{`{% if value_json.n > 9 %}many{% elif value_json.n > 5 %}some{% else %}few{% endif %}`, `"some"`},
		{"{% if value_json.n > 9 %}\n many\n{% endif %}\n", "nothing"},
		{`n={% if value_json.n %}{{ value_json.n }}{% endif %}!`, `"n=7!"`},
		{`{% set x = value_json.n * 2 %}{{ x }}/{{ x + 1 }}`, `"14/15"`},
		{`it's "so" }} {`, `"it's \"so\" }} {"`},
		{`${value_json}`, `"${value_json}"`},
		{`{{ "a\n\"b\"" }}`, `"a\n\"b\""`},
		{``, "nothing"},
		{`{{ '}}' }}`, `"}}"`},
		{`{{ value_json.n ** 2 }}`, `left out: "**" is not supported here`},
		{`{{ 1 < 2 < 3 }}`, `left out: comparisons in a row are not supported`},
		{`{{ value_json.nil is none }}`, `left out: the test "is none" is not supported`},
		{`{{ value_json.list | map('int') | list }}`, `left out: the filter "map" is not supported`},
		{`{{ value_json.list[value_json.n] }}`, `left out: only a name in quotes or a whole number can stand in [ ]`},
		{`{{ as_timestamp(now()) }}`, `left out: the function now is not supported`},
		{`{{ now() }}`, `left out: the function now is not supported`},
		{`{{ trigger.id }}`, `left out: the name trigger is not known here`},
		{`{{ value_json.s.encode() }}`, `left out: the method encode is not supported`},
		{`{% macro x() %}{% endmacro %}`, `left out: the statement "macro" is not supported`},
		{`{% if value_json.n %}x`, `left out: an if has no endif`},
		{`{% endif %}`, `left out: {% endif %} stands alone`},
		{`{{ value_json.n`, `left out: {{ is not closed by }}`},
		{`{{ value_json. }}`, `left out: a name is wanted behind the dot, not ""`},
		{`{{ 'x }}`, `left out: a quote is not closed`},
		{`{{ value_json.n ! }}`, `left out: "!" is not known in a template`},
		{`{{ (((((((((((((((((((((((value)))))))))))))))))))))) }}`, `left out: the template nests too deep`},
		{`{{ ` + strings.Repeat("value_json.e or ", 40) + `1 }}`, `left out: the template is too long`},
	} {
		if got := yields(t, engine(t), tt.template, doc); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.template, got, tt.want)
		}
	}
}

func mustQuote(s string) string { return string(mapping.AppendJSON(nil, mapping.Infer(s))) }

// FuzzTemplates hands any template and payload to a sensor: what is translated
// compiles, and nothing stops the Engine.
func FuzzTemplates(f *testing.F) {
	for _, s := range []string{`{{ value }}`, `{{ value_json.a["b"][0] | float(0) | round(1) }}`, `{% if value_json.x > 1 and not value %}a{% else %}{{ 'b' ~ "\n" }}{% endif %}`,
		`{% set x = 1 %}{{ x if value in ['a', 2.5e3] else -x // 2 }}`, `{{ value_json.get('a', [1]).split(',')[-1] | default("x", true) is defined }}`} {
		f.Add(s, `{"a": {"b": ["1.5"]}, "x": 2}`)
	}
	p := profiles(f)
	f.Fuzz(func(t *testing.T, template, payload string) {
		if len(template)+len(payload) > 1<<16 {
			return // over the limit of a payload it is refused for that
		}
		got := yields(t, mapping.NewEngine(p, mapping.Options{}), template, payload)
		if strings.HasPrefix(got, "refused: ") && !strings.Contains(got, "JSON") {
			t.Errorf("the translation of %q is not understood: %s", template, got)
		}
	})
}
