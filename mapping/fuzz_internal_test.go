package mapping

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// matches says whether a filter matches a topic, level by level as the MQTT
// specification words it.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && (f[0] == "#" || f[0] == "+") {
		return false
	}
	for i, level := range f {
		if level == "#" {
			return true // also the parent: i may be len(t)
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}

var matcherSeeds = []string{
	"a/b|a/+|a/#|#|+/+\na/b", "$SYS/#|#|+/x\n$SYS/x", "a/#\na", "a/+/c|a/b/c|+/b/#\na/b/c", "/|+/+|/+\n/", "a//b|a/+/b\na//b", "a/#|a\na/", "+|#\n$x",
}

func FuzzMatcher(f *testing.F) {
	for _, s := range matcherSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, topic, ok := strings.Cut(s, "\n")
		if !ok || !ValidTopic(topic) || len(s) > 500 {
			return
		}
		var m Matcher[int]
		var filters []string
		for _, filter := range strings.Split(list, "|") {
			if ValidFilter(filter) {
				m.Add(filter, len(filters))
				filters = append(filters, filter)
			}
		}
		check := func(removed map[int]bool) {
			got := map[int]int{}
			for _, i := range m.Match(topic, nil) {
				got[i]++
			}
			for i, filter := range filters {
				want := 0
				if !removed[i] && matches(filter, topic) {
					want = 1
				}
				if got[i] != want {
					t.Fatalf("filter %q, topic %q: matched %d times, want %d", filter, topic, got[i], want)
				}
			}
		}
		check(nil)
		for i, a := range filters {
			for j, b := range filters {
				if Covers(a, b) && matches(b, topic) && !matches(a, topic) {
					t.Fatalf("%q covers %q (%d %d), but not its topic %q", a, b, i, j, topic)
				}
			}
		}
		removed := map[int]bool{}
		for i := 0; i < len(filters); i += 2 {
			if !m.Remove(filters[i], i) {
				t.Fatalf("%q is not there to remove", filters[i])
			}
			removed[i] = true
		}
		check(removed)
		for i := 1; i < len(filters); i += 2 {
			m.Remove(filters[i], i)
		}
		if m.Len() != 0 || !m.root.empty() {
			t.Fatal("something is left of removed filters")
		}
	})
}

var pathExpressions = []string{
	"payload", "payload.a", "payload.a.b", "payload.a.b.c", `payload["a b"].c`, `payload["a.b"]`, `payload["0"]`, `payload["a*"]`, `payload["#"]`,
	`payload["@this"]`, "payload.length", `payload[""]`, `payload["é"]`, `payload["a"]["b"]`, `payload["a|b"]`, `payload["\\"]`, `payload.a["1x"]`,
}

var payloadSeeds = []string{
	`{"a":{"b":{"c":1}}}`, `{"a":1,"a":2}`, `{"a":[{"b":1}]}`, `[1,2]`, `"text"`, `{"a b":{"c":null}}`, `{"a.b":1e400,"0":-0}`, `{"\u0061":{"b":"\ud800"}}`,
	` {"a" : { "b" : 9007199254740993 } } `, `{"@this":1,"#":2,"":3,"a*":4,"a|b":5,"\\":6}`, `{"a":{"b":{}}}`, `{"a":true}`, `{"a":{"1x":12345678901234567890}}`,
	"{\"a\":\"\xff\"}", `{"a":"{\"b\":1}"}`, `{"é":1}`, `{"b":{"a":1},"a":null}`,
}

func FuzzPathsAreReadAlike(f *testing.F) {
	for i, p := range payloadSeeds {
		f.Add(p, uint8(i))
		f.Add(p, uint8(2))
	}
	f.Fuzz(func(t *testing.T, payload string, which uint8) {
		text := pathExpressions[int(which)%len(pathExpressions)]
		if len(payload) > 1<<16 || scanJSON([]byte(payload), maxListItems) != nil {
			return
		}
		x, err := compileExpression(text)
		if err != nil {
			t.Fatal(err)
		}
		read := func() *scope {
			m := &message{}
			m.read(&Input{Topic: "t", Payload: []byte(payload), Now: time.Unix(1e9, 0)}, "json", "", Limits{}.filled())
			if m.err != nil {
				t.Fatal(m.err)
			}
			return &scope{msg: m}
		}
		fast, err := read().eval(x)
		if err != nil {
			t.Fatal(err)
		}
		slow := *x
		slow.path, slow.gpath = nil, ""
		want, err := read().eval(&slow)
		if err != nil {
			t.Fatalf("%s on %q: %v", text, payload, err)
		}
		if !reflect.DeepEqual(fast, want) {
			t.Fatalf("%s on %q: %#v by path, %#v by evaluation", text, payload, fast, want)
		}
	})
}

func (l Limits) filled() Limits { return Options{Limits: l}.withDefaults().Limits }

func FuzzJSONIsJudgedAsTheStandardLibraryDoes(f *testing.F) {
	for _, p := range payloadSeeds {
		f.Add([]byte(p))
	}
	for _, p := range []string{"", "01", "-", "1.", ".5", "1e", "1e+5", "nul", "[1,]", "{\"a\"}", "{,}", "\"\\u12g4\"", "\"\t\"", "[[[[]]]]", "1 2", "\"\\x\"", "-0.0e-0"} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := scanJSON(b, 1<<30)
		if err == errDepth {
			return
		}
		if (err == nil) != json.Valid(b) {
			t.Fatalf("%q: %v, but the standard library says %v", b, err, json.Valid(b))
		}
		if err == nil {
			again := appendAny(nil, decodeJSON(b))
			if !json.Valid(again) {
				t.Fatalf("%q became %q", b, again)
			}
			if once := appendAny(nil, decodeJSON(again)); string(once) != string(again) {
				t.Fatalf("%q became %q, then %q", b, again, once)
			}
		}
	})
}

// FuzzExpressions looks for expressions that panic, hang or grow on any payload; how
// long one may take, the fuzzer itself bounds.
func FuzzExpressions(f *testing.F) {
	texts := []string{
		"payload.a.b[0].c ?? 1", `filter(payload, .a > 1)`, `flatten(payload, "_")`, `merge(payload, {"x": now})`, `map(1..10, # * payload.n)`, `groupBy(payload, .a)`,
		`payload[0:5]`, `payload["a"] in payload.b`, `not payload.x and payload.y`, `read(payload, 0, "u16be")`, `parseTime(payload.t)`, `fromPairs(map(payload, [#.k, #.v]))`,
		`let x = payload.a; x + x`, `payload contains "a"`, `-payload.n % 3`, `toJSON(payload)`, `number(payload)`, `roundTo(payload.n, 2)`, `reduce(payload, #acc + #, 0)`, `payload?.a?.b`,
		`repeat("x", 1000000000)`, `1..1000000000`, `sort(payload)`, `payload matches "^a+$"`, `split(payload, ",")`, `keys(payload)`, `device.x.y`, `hex(payload)`,
	}
	for i := range 4 * len(texts) {
		if Seeded(i, 4*len(texts)) {
			f.Add(texts[i/4], payloadSeeds[i%4])
		}
	}
	f.Fuzz(func(t *testing.T, text, payload string) {
		if len(text) > 300 || len(payload) > 2000 {
			return
		}
		x, err := newExpression(text)
		if err != nil {
			return
		}
		m := &message{}
		m.read(&Input{Topic: "t", Payload: []byte(payload)}, "auto", "", Limits{}.filled())
		s := &scope{msg: m, dev: &Device{Vars: []Var{{Name: "x", Value: 1}}}}
		if v, err := s.eval(x); err == nil {
			appendAny(nil, v)
			Infer(v)
		}
	})
}
