package mapping

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The worst that a payload and an expression can do together.
const (
	worstTime  = 2 * time.Minute // measured: 0.7 s on a busy core; the race detector and five others on it take thirtyfold
	worstAlloc = 512 << 20       // bytes; measured: 0.12 GB
)

// longList is as long as a list may be, and no two items are alike.
func longList(item func(i int) string) string {
	list := make([]string, maxListItems)
	for i := range list {
		list[i] = item(i * 7919 % maxListItems)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestTheWorstExpressionOverTheWorstPayloadEnds(t *testing.T) {
	numbers := longList(strconv.Itoa)
	objects := longList(func(i int) string { return fmt.Sprintf(`{"a":%d}`, i) })
	texts := longList(func(i int) string { return strconv.Quote(strings.Repeat("a", 90) + strconv.Itoa(i)) })
	text := strconv.Quote(strings.Repeat("a", 1<<20-2))
	cases := []struct{ name, expression, payload string }{
		{"closures visit each item for each item", "map(payload, map(payload, 1))", numbers},
		{"each number alike is sought for each", "map(0..99, uniq(payload))[0]", numbers},
		{"each object alike is sought for each", "map(0..99, uniq(payload))[0]", objects},
		{"long lists are compared for each item", "map(payload, payload == payload)[0]", texts},
		{"an item is sought in a list for each item", `count(payload, # in payload)`, texts},
		{"a long list is sorted again and again", "map(0..99, sort(payload))[0]", texts},
		{"a long list is written as text again and again", "map(0..99, toJSON(payload))", texts},
		{"text is cut to letters", `map(0..99, split(payload, ""))`, text},
		{"text is joined for each item", `map(0..9999, payload + "x")`, text},
		{"text is changed for each item", "map(0..9999, upper(payload))", text},
		{"text is compared for each item", "count(0..9999, payload < payload)", text},
		{"text is cut off for each item", "map(0..9999, payload[1:])", text},
		{"letters grow to words", `map(0..99, replace(payload, "a", "bbbbbbbb"))`, text},
		{"words grow between letters", `replace(payload, "", payload)`, text},
		{"text is repeated", "repeat(payload, 1000000)", text},
		{"a list is joined by text", "join(payload, payload[0])", texts},
		{"a pattern looks at long text again and again", `count(0..99, payload matches "(a|aa)+$")`, text},
		{"lists hold the same list many times", "map(payload, payload)", numbers},
		{"lists double and double", doubled(40), numbers},
		{"text is cut by a set of letters that is as long", "trim(payload, upper(payload))", text},
		{"a list is reduced by growing it", "reduce(payload, concat(#acc, payload), [])", numbers},
		{"objects are laid flat again and again", "map(0..9999, flatten(payload))", objects},
		{"text is read as JSON again and again", "map(0..9999, fromJSON(payload))", strconv.Quote(numbers)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := newExpression(c.expression)
			if err != nil {
				t.Fatal(err)
			}
			m := &message{}
			m.read(&Input{Topic: "t", Payload: []byte(c.payload)}, "auto", "", Limits{}.filled())
			if m.err != nil {
				t.Fatal(m.err)
			}
			m.whole()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err = (&scope{msg: m}).eval(x)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			alloc := after.TotalAlloc - before.TotalAlloc
			if took > worstTime || alloc > worstAlloc {
				t.Errorf("it took %v and %d MiB", took, alloc>>20)
			}
			t.Logf("%v, %d MiB, %v", took.Round(time.Millisecond), alloc>>20, err)
		})
	}
}

// doubled names a list of two lists of two lists …
func doubled(n int) string {
	var b strings.Builder
	last := "payload"
	for i := range n {
		fmt.Fprintf(&b, "let v%d = [%s, %s]; ", i, last, last)
		last = fmt.Sprintf("v%d", i)
	}
	return b.String() + last
}

func TestPatternsThatAreNotBoundedAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a pattern out of the payload":   "payload.a matches payload.b",
		"a pattern of very many steps":   `payload.a matches "a{1000}b{1000}c{1000}"`,
		"a pattern that is none":         `payload.a matches "("`,
		"a pattern put together by text": `payload.a matches "a" + payload.b`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newExpression(text); err == nil {
				t.Fatal("it is taken")
			}
		})
	}
}

func TestBoundedFunctionsGiveWhatTheNamesSay(t *testing.T) {
	for text, want := range map[string]string{
		`uniq([1, 1.0, "1", nil, nil, true, {"a": 1}, {"a": 1}, [1], [1]])`: `[1,"1",null,true,{"a":1},[1]]`,
		`uniq([])`:                       `[]`,
		`repeat("ab", 3)`:                `"ababab"`,
		`repeat("", 1000000000)`:         `""`,
		`replace("a.b.c", ".", "-")`:     `"a-b-c"`,
		`replace("a.b.c", ".", "--", 1)`: `"a--b.c"`,
		`join(["a", "b"], ", ")`:         `"a, b"`,
		`join(split("a b", " "))`:        `"ab"`,
		`"b" in ["a", "b"]`:              `true`,
		`"ab" contains "b"`:              `true`,
		`"ab" matches "^a"`:              `true`,
		`[1, 2] == [1, 2]`:               `true`,
	} {
		x, err := newExpression(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v, err := (&scope{msg: &message{}}).eval(x)
		if got := string(appendAny(nil, v)); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", text, got, err, want)
		}
	}
}
