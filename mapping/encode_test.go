package mapping

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestWhatIsSentAsCBORAndMessagePack(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name          string
		value         any
		cbor, msgpack string
	}{
		{"nothing", nil, "f6", "c0"},
		{"true", true, "f5", "c3"},
		{"a whole number is an integer", 5.0, "05", "05"},
		{"a negative one", -33, "3820", "d0df"},
		{"the smallest", math.MinInt, "3b7fffffffffffffff", "d38000000000000000"},
		{"the largest", math.MaxInt, "1b7fffffffffffffff", "cf7fffffffffffffff"},
		{"a fraction has 64 bits", 1.1, "fb3ff199999999999a", "cb3ff199999999999a"},
		{"over 2^53 a float64 stays one", 1e300, "fb7e37e43c8800759c", "cb7e37e43c8800759c"},
		{"text", "é", "62c3a9", "a2c3a9"},
		{"bytes", []byte{0, 255}, "4200ff", "c40200ff"},
		{"a list", []any{1, 300, 70000, -200, -40000}, "850119012c1a0001117038c7399c3f", "9501cd012cce00011170d1ff38d2ffff63c0"},
		{"an object, by name", map[string]any{"b": 1, "a": []any{}}, "a2616180616201", "82a16190a16201"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for format, want := range map[string]string{"cbor": c.cbor, "msgpack": c.msgpack} {
				got, err := encodePayload(format, c.value)
				if err != nil {
					t.Fatal(err)
				}
				if hex.EncodeToString(got) != want {
					t.Errorf("%s: %x, want %s", format, got, want)
				}
			}
		})
	}
	for _, format := range sendFormats {
		if _, err := encodePayload(format, nest(maxDepth+2)); err == nil {
			t.Errorf("%s: too deep a value is sent", format)
		}
		for _, v := range []any{long, []byte(long), map[string]any{long: long}, many(20), many(70_000)} {
			back(t, format, v)
		}
	}
}

func nest(depth int) any {
	var v any = 1
	for range depth {
		v = []any{v}
	}
	return v
}

func many(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// back encodes and decodes a value: it stays what it is.
func back(t *testing.T, format string, v any) {
	t.Helper()
	b, err := encodePayload(format, v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := formats[format](b, Limits{ListItems: math.MaxInt})
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("%s of %.100v comes back as %.100v: %v", format, v, got, err)
	}
}

// FuzzEncodePayload sends what JSON says, in each format, and reads it back.
func FuzzEncodePayload(f *testing.F) {
	for _, s := range []string{`{"a": [1, -1, 127, 128, 255, 256, 65535, 65536, -32, -33, -128, -129, 4294967296], "b": "ü"}`, `null`, `1.5`, `true`, `[[[]]]`, `{"": {}}`} {
		f.Add([]byte(s))
	}
	f.Add([]byte(strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseJSON(text, maxListItems)
		if err != nil {
			return
		}
		if v, err = plainNumbers(v, 1); err != nil {
			return // the reader of CBOR counts an empty list as a level, that of JSON does not
		}
		for _, format := range sendFormats {
			back(t, format, v)
		}
	})
}

func TestPackIsTheOtherSideOfRead(t *testing.T) {
	for _, kind := range []string{"u8", "i8", "u16be", "u16le", "i16be", "i16le", "u32be", "u32le", "i32be", "i32le", "u64be", "i64le", "f32be", "f32le", "f64be", "f64le"} {
		for _, v := range []any{0, 1, 100, 127} {
			b, err := packFunction(kind, v)
			if err != nil {
				t.Fatal(kind, err)
			}
			if got, _ := readFunction(b, 0, kind); !reflect.DeepEqual(mustFloat(got), mustFloat(v)) {
				t.Errorf("%s of %v is read as %v", kind, v, got)
			}
		}
	}
	if b, err := packFunction("u8", 1, "u16be", 258, "i16le", -2, "bytes", "ab", "u64be", math.MaxInt, "i64be", math.MinInt, "u8", 1.1*100); err != nil ||
		hex.EncodeToString(b.([]byte)) != "010102feff61627fffffffffffffff80000000000000006e" {
		t.Errorf("%x %v", b, err)
	}
	for _, c := range []struct {
		args []any
		want string
	}{
		{[]any{"u8", 256}, "256 is not from 0 to 255"},
		{[]any{"i16be", -32769}, "-32769 is not from -32768 to 32767"},
		{[]any{"u8", 255.5}, "255.5 is not from 0 to 255"},
		{[]any{"i8", math.NaN()}, "NaN is not from"},
		{[]any{"u64le", -1}, "-1 is not from 0"},
		{[]any{"u8", "x"}, "a number is wanted, not text"},
		{[]any{"u16", 1}, `pack knows no type "u16"`},
		{[]any{"u8"}, "types and values in turn"},
		{[]any{"bytes", 1}, "takes bytes or text"},
	} {
		if _, err := packFunction(c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.args, err, c.want)
		}
	}
	if v, err := packFunction("u8", nil); v != nil || err != nil {
		t.Errorf("of nothing: %v %v", v, err)
	}
}

func mustFloat(v any) float64 { f, _ := asFloat(v); return f }
