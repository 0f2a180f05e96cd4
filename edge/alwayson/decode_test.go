package alwayson

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
)

// requestStart is the body of a POST up to its parameters' type byte.
var requestStart = []byte("\x0a\x06Thing1\x02\x04Echo\x00")

func post(body ...[]byte) []byte {
	b := []byte{1, byte(Post), 0, 0, 0, 9, 0, 0, 0, 3, 1, 2, 3, 4, 0}
	return append(b, bytes.Join(body, nil)...)
}

func TestBrokenMessagesGiveTheirHeaderAndAnOffset(t *testing.T) {
	field := []byte("\x01\x01f\x00\x00\x00\x00")
	params := post(requestStart)
	at := len(params)
	cases := []struct {
		name   string
		b      []byte
		want   error
		offset int
	}{
		{"ends inside the entity name", post([]byte("\x0a\x06Thi")), ErrTruncated, 17},
		{"string length beyond the end", post([]byte("\x0a\xff\xff\xff\xffx")), ErrTruncated, 20},
		{"ends inside a long length", post([]byte("\x0a\x80\x00")), ErrTruncated, 16},
		{"ends inside the parameters", post(requestStart, []byte{5, 1}), ErrTruncated, at + 2},
		{"unknown base type", post(requestStart, []byte{77}), ErrBadType, at},
		{"TIMESPAN", post(requestStart, []byte{5}, field, []byte("\x00\x01\x00\x01\x04\x00")), ErrBadType, at + 12},
		{"SCHEDULE in a VARIANT", post(requestStart, []byte{5}, field, []byte("\x00\x01\x00\x01\x12\x11\x00")), ErrBadType, at + 13},
		{"parameters that are a STRING", post(requestStart, []byte("\x00\x01x")), ErrBadType, at},
		{"blob length beyond the end", post(requestStart, []byte{5}, field, []byte("\x00\x01\x00\x01\x15\xff\xff\xff\xff")), ErrTruncated, at + 13},
		{"more cells than bytes", post(requestStart, []byte{5}, field, []byte("\x00\x01\xff\xff\xff\xff")), ErrTruncated, at + 10},
		{"more aspects than bytes", post(requestStart, []byte("\x05\x01\x01f\x00\x00\xff\xff")), ErrTruncated, at + 6},
		{"17 VARIANTs", post(requestStart, bytes.Repeat([]byte{18}, 17), []byte{0xFF}), ErrTooDeep, at + 16},
		{"a million VARIANTs", post(requestStart, bytes.Repeat([]byte{18}, 1e6)), ErrTooDeep, at + 16},
		{"17 tables in each other", post(requestStart, nestedTables(17)), ErrTooDeep, at + 16*12 + 1},
		{"a million fields", post(requestStart, []byte{5}, bytes.Repeat([]byte("\x01\x00\x00\x00\x00\x00"), 1e6)), ErrTooMany, at + 1 + 6*DefaultFields},
		{"300,000 empty rows", post(requestStart, []byte{5, 0}, bytes.Repeat([]byte("\x01\x00\x00"), 300000), []byte{0}), ErrTooMany, at + 2 + 3*DefaultRows},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, _, err := Parse(c.b, Limits{})
			var de *DecodeError
			if !errors.As(err, &de) || !errors.Is(err, c.want) {
				t.Fatalf("err %v, want %v", err, c.want)
			}
			if de.Offset != c.offset {
				t.Errorf("offset %d, want %d (%v)", de.Offset, c.offset, err)
			}
			if m.Header != (Header{Post, 9, 3, 0x01020304}) || m.Body != nil {
				t.Errorf("message %+v, want its header alone", m)
			}
		})
	}
}

// nestedTables is n info tables, each in the one cell of the one before, as a primitive.
func nestedTables(n int) []byte {
	b := []byte{0xFF}
	for range n {
		b = bytes.Join([][]byte{[]byte("\x05\x01\x01f\x00\x05\x00\x00\x00\x01\x00\x01"), b, {0}}, nil)
	}
	return b
}

func TestSixteenLevelsAreRead(t *testing.T) {
	for name, b := range map[string][]byte{
		"tables":   nestedTables(16),
		"VARIANTs": append(bytes.Repeat([]byte{18}, 16), 2, 1),
	} {
		v, n, err := ParseValue(b, Limits{})
		if err != nil || n != len(b) {
			t.Fatalf("%s: %d of %d bytes, err %v", name, n, len(b), err)
		}
		if again, err := AppendValue(nil, v); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded %x, err %v", name, again, err)
		}
	}
}

func TestEveryPrefixOfEveryVectorGivesAnErrorOrAMessageAndNeverPanics(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Kind != "message" || v.Hex == "" || len(v.Hex) > 2000 {
			continue
		}
		b := unhex(t, v.Hex)
		for n := range b {
			m, rest, err := Parse(b[:n:n], Limits{})
			var de *DecodeError
			if err != nil && (!errors.As(err, &de) || de.Offset > n) {
				t.Fatalf("%s cut at %d: %v", v.Name, n, err)
			}
			if rest < 0 || n < headerSize && err == nil || err != nil && m.Body != nil {
				t.Fatalf("%s cut at %d: rest %d, %+v", v.Name, n, rest, m)
			}
		}
	}
}

func TestWhatIsTolerated(t *testing.T) {
	field := "\x01\x01f\x00\x00\x00\x00"
	thing := string(requestStart)
	cases := []struct {
		name, in string
		code     Code
		want     Body
		rest     int
	}{
		{"request that ends before its parameters' type", thing, Post, ServiceRequest(EntityThing, "Thing1", "Echo", nil), 0},
		{"headers in a request", "\x0a\x01T\x02\x01S\x01\x01a\x01b\xff", Post, ServiceRequest(EntityThing, "T", "S", nil), 0},
		{"table without rows", thing + "\x05" + field + "\x00\x00", Post,
			ServiceRequest(EntityThing, "Thing1", "Echo", &InfoTable{Fields: []Field{{Name: "f"}}}), 0},
		{"length of four bytes below 128", "\x0a\x80\x00\x00\x01T\x02\x01S\x00\xff", Post, ServiceRequest(EntityThing, "T", "S", nil), 0},
		{"markers other than 1", thing + "\x05\x07\x01f\x00\x00\x00\x00\x00\xff\x00\x01\x00\x01x\x00", Post,
			ServiceRequest(EntityThing, "Thing1", "Echo", OneRow(Named{"f", NewString("x")})), 0},
		{"more cells than fields", thing + "\x05" + field + "\x00\x01\x00\x03\x00\x01x\x02\x01\xff\x00", Post,
			ServiceRequest(EntityThing, "Thing1", "Echo", OneRow(Named{"f", NewString("x")})), 0},
		{"unknown type in a field definition", thing + "\x05\x01\x01f\x00\x4d\x00\x00\x00\x00", Post,
			ServiceRequest(EntityThing, "Thing1", "Echo", &InfoTable{Fields: []Field{{Name: "f", Type: 77}}}), 0},
		{"bytes left over", "\x00\xffabc", Success, OK(Value{}), 3},
		{"content that is not a table", "\x00\x16\x00\x00\x00\x07", Success, OK(NewInteger(7)), 0},
		{"a status of no name", "\x01\x02no\xff", 0xC7, &Response{Code: 0xC7, HasReason: true, Reason: "no"}, 0},
		{"an AUTH whose key ends early", "\x01\x06appKey\x80\x00\x00\xc8" + strings.Repeat("k", 197), AuthCode,
			&Auth{Claims: []Claim{{"appKey", strings.Repeat("k", 197)}}, Cut: true}, 0},
		{"text that is not UTF-8", "\x00\x00\x03a\xff\xc3", Success, OK(NewString("a\xff\xc3")), 0},
		{"BOOLEAN 7", "\x00\x02\x07", Success, OK(NewBoolean(true)), 0},
		{"LONG", "\x00\x17\x80\x00\x00\x00\x00\x00\x00\x01", Success, OK(NewLong(math.MinInt64 + 1)), 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, rest, err := ParseBody(Header{Code: c.code}, []byte(c.in), Limits{})
			if err != nil || rest != c.rest || !sameBody(got, c.want) {
				t.Errorf("%+v, rest %d, err %v; want %+v, rest %d", got, rest, err, c.want, c.rest)
			}
			if a, ok := got.(*Auth); ok && !a.Cut {
				t.Error("not marked as cut")
			}
		})
	}
}

func TestMessagesWithoutABody(t *testing.T) {
	for _, c := range []Code{KeepAlive, 0x15, 0x3F, Success, NotFound} {
		b := message(t, KeepAlive, 4, nil)
		b[1] = byte(c)
		m, _, err := Parse(b, Limits{})
		if want := (Message{Header: Header{Code: c, RequestID: 4, SessionID: 7}}); err != nil || m != want {
			t.Errorf("%v: %+v, %v; want %+v", c, m, err, want)
		}
	}
	for _, c := range []Code{Get, AuthCode, BindCode} {
		if _, _, err := ParseBody(Header{Code: c}, nil, Limits{}); !errors.Is(err, ErrTruncated) {
			t.Errorf("%v without a body: %v, want ErrTruncated", c, err)
		}
	}
	chunk := rawChunk(Post, 3, 1, 2, 512, "x")
	if m, _, err := Parse(chunk, Limits{}); !errors.Is(err, ErrBadChunk) || m.RequestID != 3 {
		t.Errorf("chunk parsed as a whole message: %+v, %v", m, err)
	}
}

// Decoding allocates at most this many times the input, whatever it claims.
const decodeFactor = 48

func TestHostileMessagesCostBoundedMemory(t *testing.T) {
	const size = 1 << 20
	fill := func(start, unit string) []byte {
		b := append([]byte{}, start...)
		return append(b, strings.Repeat(unit, (size-len(b))/len(unit))...)
	}
	thing := string(post(requestStart))
	oneField := "\x05\x01\x01f\x00\x00\x00\x00\x00"
	bind := binary.BigEndian.AppendUint16([]byte("\x01\x0a\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00"), 65535)
	for name, b := range map[string][]byte{
		"fields":                        fill(thing+"\x05", "\x01\x00\x00\x00\x00\x00"),
		"fields with aspects":           fill(thing+"\x05", "\x01\x00\x00\x00\x00\x05"+strings.Repeat("\x00\xff", 5)),
		"one field of 65535 aspects":    fill(thing+"\x05\x01\x00\x00\x00\xff\xff", "\x00\xff"),
		"empty rows":                    fill(thing+oneField, "\x01\x00\x00"),
		"rows of one NOTHING":           fill(thing+oneField, "\x01\x00\x01\xff"),
		"rows of dropped cells":         fill(thing+"\x05\x00", "\x01\x0f\xff"+strings.Repeat("\xff", 4095)),
		"empty tables in cells":         fill(thing+oneField, "\x01\x00\x01\x05\x00\x00"),
		"tables of two rows":            fill(thing+oneField, "\x01\x00\x01\x05\x00\x01\x00\x00\x01\x00\x00\x00"),
		"short texts":                   fill(thing+oneField, "\x01\x00\x01\x00\x01x"),
		"texts of half a window":        fill(thing+oneField, "\x01\x00\x01\x00\x80\x00\x03\xff"+strings.Repeat("x", 1023)),
		"a few wide rows of NOTHING":    fill(thing+"\x05"+strings.Repeat("\x01\x00\x00\x00\x00\x00", 9999)+"\x00", "\x01\x27\x0f"+strings.Repeat("\xff", 9999)),
		"as many rows as are allowed":   []byte(thing + oneField + strings.Repeat("\x01\x00\x01\xff", DefaultRows) + "\x00"),
		"as many tables as are allowed": []byte(thing + oneField + strings.Repeat("\x01\x00\x01\x05\x00\x00", DefaultRows/2) + "\x00"),
		"names in a BIND":               fill(string(bind), "\x00"),
		"a text length of 2 GiB":        []byte(thing + "\x05\x01\xff\xff\xff\xff"),
		"a blob length of 4 GiB":        []byte(thing + oneField + "\x01\x00\x01\x15\xff\xff\xff\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			m, _, err := Parse(b, Limits{})
			runtime.ReadMemStats(&after)
			spent := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes of input: %d allocated, %d each, message %v, err %v", len(b), spent, spent/uint64(len(b)), m.Body != nil, err)
			if limit := uint64(decodeFactor*len(b) + 4096); spent > limit {
				t.Errorf("%d bytes of input allocated %d bytes, limit %d", len(b), spent, limit)
			}
		})
	}
}
