package alwayson

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"
)

func TestTheZeroValueIsNothingAndSmall(t *testing.T) {
	var v Value
	if !v.IsNothing() || v.Type() != TypeNothing || v.String() != "NOTHING" {
		t.Errorf("zero Value is %v", v)
	}
	if n := unsafe.Sizeof(v); n > 48 {
		t.Errorf("a Value takes %d bytes", n)
	}
	if n := unsafe.Sizeof(PushFilter{}); n > 100 {
		t.Errorf("a PushFilter takes %d bytes", n)
	}
	if NewTable(nil) != (Value{}) {
		t.Error("a nil table is not NOTHING")
	}
}

func TestReadersReadThroughVariantAndDoNotMixTypes(t *testing.T) {
	table := OneRow(Named{"a", NewInteger(1)})
	berlin := Location{Latitude: 52.5, Longitude: 13.4, Elevation: 34}
	cases := []struct {
		v      Value
		number float64
		int    int64
		text   string
		bytes  string
	}{
		{NewNumber(-2.75), -2.75, -2, "", ""},
		{NewNumber(1e300), 1e300, math.MaxInt64, "", ""},
		{NewNumber(math.Inf(-1)), math.Inf(-1), math.MinInt64, "", ""},
		{NewNumber(math.NaN()), math.NaN(), 0, "", ""},
		{NewInteger(math.MinInt32), math.MinInt32, math.MinInt32, "", ""},
		{NewLong(math.MaxInt64), math.MaxInt64, math.MaxInt64, "", ""},
		{NewDateTime(-1), -1, -1, "", ""},
		{NewBoolean(true), 1, 1, "", ""},
		{NewText(TypeGUID, "x\xff"), math.NaN(), 0, "x\xff", ""},
		{NewText(TypeNumber, "5"), math.NaN(), 0, "5", ""},
		{NewBlob([]byte{1, 2}), math.NaN(), 0, "", "\x01\x02"},
		{NewImage([]byte{3}), math.NaN(), 0, "", "\x03"},
		{NewLocation(berlin), math.NaN(), 0, "", ""},
		{NewTable(table), math.NaN(), 0, "", ""},
		{Value{}, math.NaN(), 0, "", ""},
	}
	for _, c := range cases {
		for _, v := range []Value{c.v, NewVariant(c.v), NewVariant(NewVariant(c.v))} {
			if !sameFloat(v.Number(), c.number) || v.Int() != c.int || v.Text() != c.text || string(v.Bytes()) != c.bytes {
				t.Errorf("%v: %v, %v, %q, %x", v, v.Number(), v.Int(), v.Text(), v.Bytes())
			}
			if v.Unwrap() != c.v || (v.Location() == berlin) != (c.v.Type() == TypeLocation) || (v.Table() == table) != (c.v.Type() == TypeInfoTable) {
				t.Errorf("%v unwraps to %v", v, v.Unwrap())
			}
			if v.Bool() != (c.v.Type() == TypeBoolean) || (v.Millis() == -1) != (c.v.Type() == TypeDateTime) {
				t.Errorf("%v: %v, %d ms", v, v.Bool(), v.Millis())
			}
		}
	}
	if v := NewVariant(NewVariant(NewInteger(1))); v.Type() != TypeVariant || v.Inner().Type() != TypeVariant || v.Inner().Inner() != NewInteger(1) {
		t.Errorf("%v has inner %v", v, v.Inner())
	}
}

func TestEqual(t *testing.T) {
	short := &InfoTable{Fields: []Field{{Name: "a"}, {Name: "b"}}, Rows: [][]Value{{NewString("x")}}}
	full := &InfoTable{Fields: []Field{{Name: "a"}, {Name: "b"}}, Rows: [][]Value{{NewString("x"), {}}}}
	other := &InfoTable{Fields: []Field{{Name: "a"}, {Name: "b", Aspects: []Aspect{{"x", NewNumber(1)}}}}, Rows: full.Rows}
	aspect := func(name string, f float64) Value {
		return NewTable(&InfoTable{Fields: []Field{{Name: "f", Aspects: []Aspect{{name, NewNumber(f)}}}}})
	}
	cases := []struct {
		a, b Value
		want bool
	}{
		{NewNumber(math.NaN()), NewNumber(math.NaN()), true},
		{NewNumber(0), NewNumber(math.Copysign(0, -1)), true},
		{NewNumber(1), NewInteger(1), false},
		{NewLong(1<<53 + 1), NewLong(1 << 53), false},
		{NewInteger(1), NewVariant(NewInteger(1)), false},
		{NewString("a"), NewText(TypeText, "a"), false},
		{NewLocation(Location{Latitude: math.NaN()}), NewLocation(Location{Latitude: math.NaN()}), true},
		{NewLocation(Location{Latitude: 1}), NewLocation(Location{Longitude: 1}), false},
		{NewBlob([]byte("a")), NewBlob([]byte("a")), true},
		{NewTable(short), NewTable(full), true},
		{NewTable(full), NewTable(other), false},
		{aspect("x", 1), aspect("x", 1), true},
		{aspect("x", 1), aspect("x", 2), false},
		{aspect("x", 1), aspect("y", 1), false},
		{NewTable(OneRow(Named{"a", NewInteger(1)})), NewTable(OneRow(Named{"a", NewInteger(2)})), false},
		{Value{}, Value{}, true},
		{Value{}, NewVariant(Value{}), false},
	}
	for _, c := range cases {
		if c.a.Equal(c.b) != c.want || c.b.Equal(c.a) != c.want {
			t.Errorf("%v equal to %v: want %v", c.a, c.b, c.want)
		}
	}
}

func TestLogsShowNoSecretsAndNoNovels(t *testing.T) {
	secret := NewText(TypePassword, "s3cr3t")
	row := OneRow(Named{"p", secret})
	auth := &Message{Header: Header{Code: AuthCode}, Body: &Auth{Claims: []Claim{{"appKey", "s3cr3t"}}}}
	for _, v := range []any{secret, NewVariant(secret), row, *row, auth.Body, *auth.Body.(*Auth), NewTable(row)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "s3cr3t") {
				t.Errorf("%T with %s shows the secret: %s", v, verb, s)
			}
		}
	}
	for want, v := range map[string]Value{
		`STRING "a\xff"`:                    NewString("a\xff"),
		"VARIANT NUMBER 1.25":               NewVariant(NewNumber(1.25)),
		"BOOLEAN true":                      NewBoolean(true),
		"LONG -3":                           NewLong(-3),
		"DATETIME 2020-01-01T00:00:00.123Z": NewDateTime(1577836800123),
		"LOCATION 42.3,-71.1,12.5":          NewLocation(Location{42.3, -71.1, 12.5}),
		"BLOB 300 bytes":                    NewBlob(make([]byte, 300)),
		"INFOTABLE 1 fields, 1 rows":        NewTable(row),
		`STRING "` + strings.Repeat("é", 60) + `"… (200 bytes)`: NewString(strings.Repeat("é", 100)),
	} {
		if v.String() != want {
			t.Errorf("%s, want %s", v, want)
		}
	}
	if n := len(NewString(strings.Repeat("\x00", 1e6)).String()); n > 600 {
		t.Errorf("a text of a megabyte is logged with %d bytes", n)
	}
}

func TestNames(t *testing.T) {
	types := 0
	for i := math.MinInt8; i <= math.MaxInt8; i++ {
		typ := BaseType(i)
		back, ok := ParseBaseType(strings.ToLower(typ.String()))
		if ok != typ.Known() || ok && back != typ {
			t.Errorf("%d: %v parses to %v, %v", i, typ, back, ok)
		}
		if typ.Known() {
			types++
		}
		if typ.IsText() && !typ.Known() || typ.IsText() && typ.IsNumeric() {
			t.Errorf("%v: text %v, numeric %v, known %v", typ, typ.IsText(), typ.IsNumeric(), typ.Known())
		}
	}
	if types != 47 {
		t.Errorf("%d base types, want 47", types)
	}
	for c, want := range map[Code]string{Post: "POST", NotFound: "NOT_FOUND (0x84)", Success: "SUCCESS (0x40)", 0x9F: "0x9F"} {
		if c.String() != want {
			t.Errorf("%v, want %s", c, want)
		}
	}
	for c, want := range map[Code]int{
		Success: 200, 0x41: 200, BadRequest: 400, Unauthorized: 401, BadOption: 400, Forbidden: 403, NotFound: 404, MethodNotAllowed: 405,
		NotAcceptable: 406, PreconditionFailed: 412, EntityTooLarge: 413, UnsupportedContentFormat: 415, 0x9F: 400, InternalServerError: 500,
		NotImplemented: 501, BadGateway: 502, ServiceUnavailable: 503, GatewayTimeout: 504, 0xBF: 500, 0xE0: 500, 0x60: 500, Post: 500,
	} {
		if got := c.HTTPStatus(); got != want {
			t.Errorf("%v: HTTP status %d, want %d", c, got, want)
		}
	}
	for _, e := range entityNames {
		if got, ok := ParseEntityCollection(strings.ToLower(e.t.Collection())); !ok || got != e.t {
			t.Errorf("%v: collection %q", e.t, e.t.Collection())
		}
	}
	if EntityResource.String() != "Resource" || EntityType(1).String() != "ENTITY(0x01)" || EntityType(1).Collection() != "" {
		t.Errorf("entity types %v, %v", EntityResource, EntityType(1))
	}
	if _, ok := ParseEntityCollection("Thing"); ok {
		t.Error("a single entity's name is no collection")
	}
	if got := fmt.Sprint(Properties, Services, Events, Characteristic(9), Bound, BindState(9), BaseType(77)); got != "properties services events CHARACTERISTIC(9) bound BindState(9) BASETYPE(77)" {
		t.Error(got)
	}
}

func TestResultIsFoundWhereverItStands(t *testing.T) {
	answer := NewTable(NewResult(NewInteger(5)))
	list := &InfoTable{Fields: []Field{{Name: "result"}, {Name: "b"}}, Rows: [][]Value{{NewString("r"), NewString("x")}}}
	column := &InfoTable{Fields: []Field{{Name: "result"}}, Rows: [][]Value{{NewString("r")}, {NewString("s")}}}
	cases := []struct {
		name    string
		content Value
		read    string
		want    Value
	}{
		{"a service's result", answer, "result", NewInteger(5)},
		{"an INFOTABLE output that has a column of that name", NewTable(list), "result", NewTable(list)},
		{"an INFOTABLE output of one such column and many rows", NewTable(column), "result", NewTable(column)},
		{"a property among several", NewTable(list), "b", NewString("x")},
		{"a property that is not there", NewTable(list), "c", Value{}},
		{"a table without rows", NewTable(&InfoTable{Fields: []Field{{Name: "result"}}}), "result", Value{}},
		{"content that is not a table", NewString("x"), "result", NewString("x")},
		{"nothing", Value{}, "result", Value{}},
	}
	for _, c := range cases {
		if got := Result(c.content, c.read); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if NewResult(Value{}) != nil || NewResult(NewTable(list)) != list || OneRow() != nil {
		t.Error("NOTHING, a table or no cells were wrapped")
	}
	if r := OneRow(Named{"a", Value{}}); r.Fields[0].Type != TypeString || r.Column("A") != -1 || !r.Cell(1, "a").IsNothing() || !r.Cell(0, "x").IsNothing() {
		t.Errorf("%+v", r)
	}
}

func TestWhatCannotBeEncoded(t *testing.T) {
	manyFields := &InfoTable{Fields: make([]Field, 65536)}
	deep := NewTable(OneRow(Named{"a", NewInteger(1)}))
	for range 16 {
		deep = NewTable(OneRow(Named{"a", deep}))
	}
	loop := OneRow(Named{"a", Value{}})
	loop.Rows[0][0] = NewTable(loop)
	manyVariants := NewString("x")
	for range 70000 {
		manyVariants = NewVariant(manyVariants)
	}
	deepAspect := NewTable(&InfoTable{Fields: []Field{{Name: "f", Aspects: []Aspect{{"a", NewInteger(1)}}}}})
	for range 14 {
		deepAspect = NewVariant(deepAspect)
	}
	ask := func(params *InfoTable) Body { return ServiceRequest(EntityThing, "T", "S", params) }
	var nilResponse *Response
	cases := []struct {
		name string
		code Code
		body Body
		want error
	}{
		{"65,536 fields", Post, ask(manyFields), ErrBadCount},
		{"65,536 aspects", Post, ask(&InfoTable{Fields: []Field{{Aspects: make([]Aspect, 65536)}}}), ErrBadCount},
		{"a row longer than its fields", Post, ask(&InfoTable{Rows: [][]Value{{NewInteger(1)}}}), ErrLongRow},
		{"200,000 short rows of 1,000 fields", Post, ask(&InfoTable{Fields: make([]Field, 1000), Rows: make([][]Value, 200000)}), ErrTooMany},
		{"a text inside a row too deep", Post, ask(OneRow(Named{"a", manyVariants})), ErrTooDeep},
		{"aspects at level 17", Success, OK(NewTable(OneRow(Named{"a", deepAspect}))), ErrTooDeep},
		{"a TIMESPAN field", Post, ask(&InfoTable{Fields: []Field{{Name: "t", Type: TypeTimespan}}}), ErrBadType},
		{"17 levels", Success, OK(deep), ErrTooDeep},
		{"a table within itself", Success, OK(NewTable(loop)), ErrTooDeep},
		{"256 claims", AuthCode, &Auth{Claims: make([]Claim, 256)}, ErrBadCount},
		{"65,536 names", BindCode, &Bind{Names: make([]string, 65536)}, ErrBadCount},
		{"a response with a method's code", Post, OK(Value{}), ErrBadBody},
		{"a request with a status", Success, ask(nil), ErrBadBody},
		{"a response of another status", NotFound, OK(Value{}), ErrBadBody},
		{"a request without a body", Get, nil, ErrBadBody},
		{"a nil response", Success, nilResponse, ErrBadBody},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Append([]byte("kept"), &Message{Header: Header{Code: c.code}, Body: c.body})
			var ee *EncodeError
			if !errors.As(err, &ee) || !errors.Is(err, c.want) || string(got) != "kept" {
				t.Errorf("%q, err %v; want %v", got, err, c.want)
			}
		})
	}
	if _, err := AppendTable(nil, nil); !errors.Is(err, ErrBadType) {
		t.Errorf("nil table: %v", err)
	}
}

func TestTruth(t *testing.T) {
	for _, v := range []Value{
		{}, NewVariant(Value{}), NewBoolean(false), NewNumber(0), NewNumber(math.Copysign(0, -1)), NewInteger(0), NewString(""), NewBlob(nil), NewTable(&InfoTable{}),
	} {
		if v.Truth() {
			t.Errorf("%v is true", v)
		}
	}
	for _, v := range []Value{
		NewBoolean(true), NewVariant(NewNumber(-0.1)), NewNumber(math.NaN()), NewLong(-1), NewDateTime(1), NewString("0"), NewImage([]byte{0}),
		NewLocation(Location{}), NewTable(OneRow(Named{"a", Value{}})),
	} {
		if !v.Truth() {
			t.Errorf("%v is false", v)
		}
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	_, _, err := Parse(post(requestStart, []byte{5, 1}), Limits{})
	if want := "decode field name at byte 32: message ends too early"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = AppendTable(nil, &InfoTable{Fields: []Field{{Name: "due", Type: TypeSchedule}}})
	if want := `encode field "due" of type SCHEDULE: base type not supported here`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := NewReassembler(ReassemblerOptions{}).Add(epoch, []byte("short")); !errors.Is(err, ErrTruncated) {
		t.Errorf("%v, want ErrTruncated", err)
	}
}
