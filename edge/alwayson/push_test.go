package alwayson

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func values() []PropertyValue {
	return []PropertyValue{
		{"Temp", NewNumber(21.5), 1577836800123, QualityGood},
		{strings.Repeat("n", 128), NewString(strings.Repeat("x", 127)), 1, "SOMETHING ELSE"},
		{"Flag", NewVariant(NewBoolean(true)), 2, ""},
		{"None", Value{}, 3, QualityBad},
		{"NoneInside", NewVariant(Value{}), 3, QualityBad},
		{"Where", NewLocation(Location{1, 2, 3}), -4, QualityUnknown},
		{"Table", NewTable(&InfoTable{
			Fields: []Field{{Name: "a", Type: TypeLong, Aspects: []Aspect{{"x", NewVariant(NewBlob([]byte("abc")))}}}, {Name: "b"}},
			Rows:   [][]Value{{NewLong(7)}, {NewInteger(8), NewDateTime(9)}},
		}), 5, QualityGood},
	}
}

func TestAPushIsAsLongAsItsPartsSay(t *testing.T) {
	vals := values()
	for n := range len(vals) + 1 {
		for _, entity := range []string{"Thing1", strings.Repeat("e", 200)} {
			want := PushSize(entity)
			for _, v := range vals[:n] {
				want += v.EncodedSize()
			}
			m := message(t, Post, 1, PushRequest(entity, vals[:n]))
			if got := len(m) - headerSize; got != want {
				t.Errorf("body of %d values for %q has %d bytes, want %d", n, entity, got, want)
			}
		}
	}
}

func TestAPushLeavesOutNothingAndSaysGood(t *testing.T) {
	table := ValuesTable(values())
	if len(table.Rows) != 5 {
		t.Fatalf("%d rows, want 5", len(table.Rows))
	}
	if q := table.Cell(2, "quality").Text(); q != QualityGood {
		t.Errorf("quality %q", q)
	}
	if v := table.Cell(2, "value"); v.Type() != TypeVariant || v.Inner() != NewBoolean(true) {
		t.Errorf("value %v, want one VARIANT", v)
	}
	if q := table.Cell(1, "quality").Text(); q != "SOMETHING ELSE" {
		t.Errorf("quality %q", q)
	}
	if n := ValuesTable(nil).Len(); n != 0 {
		t.Errorf("%d rows of nothing", n)
	}
}

func TestSubscriptions(t *testing.T) {
	rows := func(fields []Field, cells ...[]Value) *InfoTable { return &InfoTable{Fields: fields, Rows: cells} }
	usual := []Field{{Name: "pushThreshold"}, {Name: "other"}, {Name: "edgeName"}, {Name: "pushType"}}
	row := func(name, push string, threshold Value) []Value {
		return []Value{threshold, {}, NewString(name), NewString(push)}
	}
	full := rows(usual,
		row("a", "ALWAYS", NewNumber(1.5)), row("b", "value", NewInteger(2)), row("c", "NEVER", NewString(" 2.5 ")), row("d", "ON", Value{}),
		row("e", "OFF", NewVariant(NewNumber(-1))), row("f", "DEADBAND", NewNumber(math.NaN())), row("g", "STRANGE", NewString("x")),
		row("", "ALWAYS", NewNumber(0)), []Value{{}, {}, NewString("h")})
	want := []Subscription{
		{"a", PushAlways, 1.5}, {"b", PushValue, 2}, {"c", PushNever, 2.5}, {"d", PushOn, 0}, {"e", PushOff, 0}, {"f", PushDeadband, 0},
		{"g", PushValue, 0}, {"h", PushValue, 0},
	}
	for name, table := range map[string]*InfoTable{"the table itself": full, "a table in a result": OneRow(Named{"result", NewTable(full)})} {
		got, err := SubscriptionsFromTable(table)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", name, got[i], want[i])
			}
		}
	}
	for name, table := range map[string]*InfoTable{"no table": nil, "no rows": rows(usual), "nothing at all": {}} {
		if got, err := SubscriptionsFromTable(table); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := SubscriptionsFromTable(rows([]Field{{Name: "name"}}, []Value{NewString("a")}, []Value{NewString("b")})); !errors.Is(err, ErrNoColumn) {
		t.Errorf("without edgeName: %v", err)
	}
	if p, ok := ParsePushType("deadBand"); !ok || p != PushDeadband || PushType(9).String() != "PUSHTYPE(9)" {
		t.Error(p, ok)
	}
}

func TestPushFilter(t *testing.T) {
	n := func(fs ...float64) (vs []Value) {
		for _, f := range fs {
			vs = append(vs, NewNumber(f))
		}
		return vs
	}
	nan := math.NaN()
	cases := []struct {
		name      string
		push      PushType
		threshold float64
		values    []Value
		want      string // 1 sent, 0 not
	}{
		{"ALWAYS sends every value", PushAlways, 100, n(1, 1, 1), "111"},
		{"NEVER sends none, not even the first", PushNever, 0, n(1, 2, 3), "000"},
		{"VALUE compares with the previous value, sent or not", PushValue, 1, n(0, 0.6, 1.2, 1.8, 4, 4), "100010"},
		{"VALUE needs more than the threshold", PushValue, 1, n(0, 1, 2, 3.5), "1001"},
		{"VALUE without a threshold sends what differs", PushValue, 0, n(1, 1, 2, 2, 1), "10101"},
		{"DEADBAND compares with the value sent last", PushDeadband, 1, n(0, 0.6, 1.2, 1.8, 2.4), "10101"},
		{"ON sends what is true, and the first", PushOn, 0, n(0, 0, 1, 1, 0), "10110"},
		{"OFF sends what is not, and the first", PushOff, 0, n(1, 1, 0, 0, 1), "10110"},
		{"ON takes a text that is not empty for true", PushOn, 0, []Value{NewString(""), NewString(""), NewString("x")}, "101"},
		{"NaN is equal to itself and differs from any number", PushValue, 5, n(nan, nan, 1, nan), "1011"},
		{"infinities", PushDeadband, 5, n(math.Inf(1), math.Inf(1), math.Inf(-1), 0), "1011"},
		{"-0 is 0", PushValue, 0, n(0, math.Copysign(0, -1)), "10"},
		{"a threshold does not count for texts", PushValue, 10, []Value{NewString("a"), NewString("b"), NewString("b")}, "110"},
		{"a threshold does not count for DATETIME", PushValue, 10, []Value{NewDateTime(1), NewDateTime(2), NewDateTime(2)}, "110"},
		{"a threshold counts for INTEGER and LONG", PushValue, 1, []Value{NewInteger(1), NewInteger(2), NewInteger(4), NewLong(4), NewLong(5), NewLong(7)}, "101101"},
		{"LONG is compared exactly", PushValue, 0, []Value{NewLong(1 << 53), NewLong(1<<53 + 1), NewLong(math.MinInt64), NewLong(math.MaxInt64)}, "1111"},
		{"another type differs", PushDeadband, 10, []Value{NewNumber(1), NewInteger(1), NewInteger(1)}, "110"},
		{"VARIANT does not count", PushValue, 0, []Value{NewNumber(1), NewVariant(NewNumber(1))}, "10"},
		{"tables by their content", PushValue, 0, []Value{
			NewTable(OneRow(Named{"a", NewInteger(1)})), NewTable(OneRow(Named{"a", NewInteger(1)})), NewTable(OneRow(Named{"a", NewInteger(2)})),
		}, "101"},
		{"locations and blobs by their content", PushValue, 0, []Value{
			NewLocation(Location{1, 2, 3}), NewLocation(Location{1, 2, 3}), NewLocation(Location{1, 2, 4}), NewBlob([]byte("a")), NewBlob([]byte("a")),
		}, "10110"},
		{"NOTHING is never sent and changes nothing", PushValue, 0, []Value{NewNumber(1), {}, NewNumber(1)}, "100"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var f PushFilter
			var got strings.Builder
			for i, v := range c.values {
				pv := PropertyValue{"p", v, int64(i), QualityGood}
				if f.Decide(Subscription{"p", c.push, c.threshold}, pv) {
					got.WriteByte('1')
					f.Sent(pv)
				} else {
					got.WriteByte('0')
				}
			}
			if got.String() != c.want {
				t.Errorf("sent %s, want %s", got.String(), c.want)
			}
		})
	}
}

func TestPushFilterMindsQualityAndWhatWasNotSent(t *testing.T) {
	at := func(f float64, quality string) PropertyValue { return PropertyValue{"p", NewNumber(f), 0, quality} }
	for _, push := range []PushType{PushValue, PushDeadband} {
		sub := Subscription{"p", push, 10}
		var f PushFilter
		for range 2 {
			if !f.Decide(sub, at(1, QualityGood)) {
				t.Errorf("%v: nothing was sent yet, and the value is held back", push)
			}
		}
		f.Sent(at(1, QualityGood))
		if f.Decide(sub, at(2, "")) {
			t.Errorf("%v: no quality taken for a change from GOOD", push)
		}
		if !f.Decide(sub, at(2, QualityBad)) {
			t.Errorf("%v: a change of quality not sent", push)
		}
	}
	var f PushFilter
	f.Decide(Subscription{"p", PushValue, 10}, at(0, QualityGood))
	f.Sent(at(0, QualityGood))
	f.Decide(Subscription{"p", PushValue, 10}, at(8, QualityGood))
	if !f.Decide(Subscription{"p", PushDeadband, 10}, at(16, QualityGood)) {
		t.Error("after a change to DEADBAND the value sent last was forgotten")
	}
}
