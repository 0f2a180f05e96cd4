package sparkplug_test

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"thingbridge/mapping"
	"thingbridge/mapping/sparkplug"
)

// values are plain values and how the wire has them.
var values = []struct {
	name  string
	kind  sparkplug.DataType
	field string
	wire  any
	plain any
}{
	{"an Int8 below zero", sparkplug.Int8, "int", 0xFFFFFFFF, -1},
	{"an Int16 at its end", sparkplug.Int16, "int", 0xFFFF8000, math.MinInt16},
	{"an Int32 below zero", sparkplug.Int32, "int", 0x80000000, math.MinInt32},
	{"an Int64 below zero", sparkplug.Int64, "long", uint64(math.MaxUint64 - 1), -2},
	{"a UInt8", sparkplug.UInt8, "int", 255, 255},
	{"a UInt16", sparkplug.UInt16, "int", 65535, 65535},
	{"a UInt32", sparkplug.UInt32, "int", math.MaxUint32, math.MaxUint32},
	{"a UInt64 within 63 bits", sparkplug.UInt64, "long", 1 << 40, 1 << 40},
	{"a UInt64 over 63 bits", sparkplug.UInt64, "long", uint64(math.MaxUint64), "18446744073709551615"},
	{"a Float as people read it", sparkplug.Float, "float", float32(21.3), 21.3},
	{"a Double", sparkplug.Double, "double", 21.3, 21.3},
	{"true", sparkplug.Boolean, "boolean", true, true},
	{"false", sparkplug.Boolean, "boolean", false, false},
	{"a String", sparkplug.String, "string", "größer", "größer"},
	{"an empty Text", sparkplug.Text, "string", "", ""},
	{"a UUID", sparkplug.UUID, "string", "0b6c", "0b6c"},
	{"a DateTime", sparkplug.DateTime, "long", 1767323045000, 1767323045000},
	{"Bytes", sparkplug.Bytes, "bytes", []byte{0, 255}, []byte{0, 255}},
	{"an Int16Array", sparkplug.Int16Array, "bytes", []byte{0xFF, 0xFF, 2, 0}, []any{-1, 2}},
	{"a UInt64Array", sparkplug.UInt64Array, "bytes", bytes.Repeat([]byte{0xFF}, 8), []any{"18446744073709551615"}},
	{"a FloatArray", sparkplug.FloatArray, "bytes", []byte{0x66, 0x66, 0xAA, 0x41}, []any{21.3}},
	{"a BooleanArray", sparkplug.BooleanArray, "bytes", []byte{10, 0, 0, 0, 0x80, 0x40}, []any{true, false, false, false, false, false, false, false, false, true}},
	{"a StringArray", sparkplug.StringArray, "bytes", []byte("ab\x00\x00c\x00"), []any{"ab", "", "c"}},
	{"a DateTimeArray", sparkplug.DateTimeArray, "bytes", []byte{1, 0, 0, 0, 0, 0, 0, 0}, []any{1}},
}

func TestValuesAreReadAndWrittenAsTheOracleHasThem(t *testing.T) {
	for _, v := range values {
		t.Run(v.name, func(t *testing.T) {
			want := wire(t, object{"metrics": []any{object{"name": "m", "datatype": int(v.kind), v.field: v.wire}}})
			p, err := sparkplug.Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Metrics[0].Plain(sparkplug.Unknown); err != nil || !reflect.DeepEqual(got, v.plain) {
				t.Errorf("read as %#v %v, want %#v", got, err, v.plain)
			}
			m, err := sparkplug.NewMetric("m", v.kind, v.plain)
			if err != nil {
				t.Fatal(err)
			}
			if got := (&sparkplug.Payload{Metrics: []sparkplug.Metric{m}}).Append(nil); !same(t, got, want) {
				t.Errorf("written as %x, the oracle writes %x", got, want)
			}
		})
	}
}

func TestAPayloadSurvivesReadingAndWriting(t *testing.T) {
	at := 1767323045000
	want := wire(t, object{"timestamp": at, "seq": 255, "uuid": "u", "body": []byte{1}, "metrics": []any{
		object{"name": "a/b", "alias": 7, "timestamp": at, "datatype": 9, "is_historical": true, "is_transient": true, "float": float32(1.5),
			"metadata": object{"description": "what it is"}, "properties": object{"keys": []any{"engUnit", "readOnly"}, "values": []any{
				object{"type": 12, "string": "bar"}, object{"type": 11, "boolean": true}}}},
		object{"alias": 8, "is_null": true},
		object{"name": "t", "datatype": 16, "dataset": object{"num_of_columns": 2, "columns": []any{"n", "s"}, "types": []any{3, 12}, "rows": []any{
			object{"elements": []any{object{"int": 0xFFFFFFFF}, object{"string": "x"}}}}}},
	}})
	p, err := sparkplug.Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Append(nil); !same(t, got, want) {
		t.Errorf("%x\nwant %x", got, want)
	}
	if got, err := p.Metrics[2].Plain(sparkplug.Unknown); err != nil || !reflect.DeepEqual(got, []any{map[string]any{"n": -1, "s": "x"}}) {
		t.Errorf("data set %v %v", got, err)
	}
	if got := p.Metrics[0].Properties(); len(got) != 2 || got[0] != (sparkplug.Property{Key: "engUnit", Type: sparkplug.String, Value: "bar"}) || got[1].Value != true {
		t.Errorf("properties %v", got)
	}
}

func TestATemplateIsAnObject(t *testing.T) {
	b := wire(t, object{"metrics": []any{object{"name": "motor", "datatype": 19, "template": object{
		"version": "1", "template_ref": "Motor", "metrics": []any{
			object{"name": "rpm", "datatype": 3, "int": 1450},
			object{"name": "off", "datatype": 11, "is_null": true},
			object{"name": "inner", "datatype": 19, "template": object{"template_ref": "Axis"}}},
		"parameters": []any{object{"name": "poles", "type": 3, "int": 4}}}}}})
	p, err := sparkplug.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"template": "Motor", "version": "1", "parameters": map[string]any{"poles": 4}, "metrics": map[string]any{
		"rpm": 1450, "off": nil, "inner": map[string]any{"template": "Axis", "metrics": map[string]any{}}}}
	if got, err := p.Metrics[0].Plain(sparkplug.Unknown); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
}

func TestWhatIsNoPayloadIsAnErrorThatSaysWhy(t *testing.T) {
	nested := object{"template_ref": "x"}
	for range 20 {
		nested = object{"metrics": []any{object{"name": "m", "datatype": 19, "template": nested}}}
	}
	deep, err := sparkplug.Parse(wire(t, object{"metrics": []any{object{"name": "m", "datatype": 19, "template": nested}}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deep.Metrics[0].Plain(sparkplug.Unknown); !errors.Is(err, mapping.ErrTooLarge) {
		t.Errorf("twenty templates in one another: %v", err)
	}
	for name, text := range map[string]string{
		"half a tag": "ff", "half a length": "12ff", "more than there is": "120501", "a timestamp that is text": "0a0131",
		"a metric that is a number": "1001", "a group": "0b", "a name that is a number": "12020801",
	} {
		b, _ := hex.DecodeString(text)
		if _, err := sparkplug.Parse(b); !errors.Is(err, sparkplug.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sparkplug.Parse(bytes.Repeat([]byte{0x12, 0}, 10_001)); !errors.Is(err, mapping.ErrTooLarge) {
		t.Errorf("10,001 metrics: %v", err)
	}
	for _, tc := range []struct {
		name string
		m    object
		want string
	}{
		{"a String in the field of ints", object{"datatype": 12, "int": 1}, "the value is no String: it stands in field 10"},
		{"an Int8 out of range", object{"datatype": 1, "int": 300}, "300 is no Int8"},
		{"a UInt8 out of range", object{"datatype": 5, "int": 300}, "300 is no UInt8"},
		{"a list of text that is not UTF-8", object{"datatype": 33, "bytes": []byte{0xFF, 0}}, "the text is not UTF-8"},
		{"a type that is none", object{"datatype": 99, "int": 1}, "the data type 99 is not one of a metric"},
		{"a property set for a value", object{"datatype": 20, "int": 1}, "the data type 20 is not one of a metric"},
		{"half an Int32Array", object{"datatype": 24, "bytes": []byte{1, 2}}, "a Int32Array of 2 bytes"},
		{"a BooleanArray that says more", object{"datatype": 32, "bytes": []byte{9, 0, 0, 0, 1}}, "9 values in 1 bytes"},
		{"a row that is too long", object{"datatype": 16, "dataset": object{"columns": []any{"a"}, "types": []any{3}, "rows": []any{
			object{"elements": []any{object{"int": 1}, object{"int": 2}}}}}}, "the row has over 1 cells"},
		{"columns without types", object{"datatype": 16, "dataset": object{"columns": []any{"a"}}}, "1 columns and 0 types"},
	} {
		p, err := sparkplug.Parse(wire(t, object{"metrics": []any{tc.m}}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Metrics[0].Plain(sparkplug.Unknown); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestCommandsKeepToTheDataType(t *testing.T) {
	now := time.UnixMilli(1767323045000)
	for _, tc := range []struct {
		name  string
		kind  sparkplug.DataType
		plain any
		want  string
	}{
		{"an Int8 that is too large", sparkplug.Int8, 128, "128 is no Int8: it must be from -128 to 127"},
		{"a UInt16 below zero", sparkplug.UInt16, -1, "-1 is no UInt16: it must be from 0 to 65535"},
		{"a part of an Int32", sparkplug.Int32, 1.5, "1.5 is no Int32"},
		{"a Boolean of text", sparkplug.Boolean, "true", "true is no Boolean"},
		{"a Float that overflows", sparkplug.Float, 1e300, "is no Float"},
		{"a time that is none", sparkplug.DateTime, "yesterday", "yesterday is no DateTime"},
		{"a data set", sparkplug.DataSetType, []any{}, "a DataSet cannot be sent"},
		{"a list of the wrong things", sparkplug.Int8Array, []any{1, "x"}, "x is no Int8"},
	} {
		if _, err := sparkplug.Command("m", tc.kind, tc.plain, now); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	got, err := sparkplug.Command("Node Control/Rebirth", sparkplug.Boolean, true, now)
	if err != nil {
		t.Fatal(err)
	}
	at := 1767323045000
	if want := wire(t, object{"timestamp": at, "metrics": []any{object{"name": "Node Control/Rebirth", "timestamp": at, "datatype": 11, "boolean": true}}}); !same(t, got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// packed packs a payload as Cirrus Link's encoders do.
func packed(t testing.TB, inner []byte) []byte {
	t.Helper()
	var body bytes.Buffer
	z := zlib.NewWriter(&body)
	if _, err := z.Write(inner); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return wire(t, object{"uuid": "SPBV1.0_COMPRESSED", "body": body.Bytes(), "metrics": []any{object{"name": "algorithm", "datatype": 12, "string": "DEFLATE"}}})
}
