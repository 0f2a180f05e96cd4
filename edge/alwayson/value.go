package alwayson

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is one primitive: a base type and a value of it. The zero Value is
// NOTHING. A Value is immutable, 40 bytes, and safe to copy and to share; an
// INFOTABLE's table is kept, not copied, and must not be changed afterwards.
//
// VARIANT is kept as a count of wrappings round the value itself, so that
// wrapping and unwrapping cost nothing. The readers Text, Number, Int, Bool,
// Millis, Bytes, Location and Table read through VARIANT; Type does not.
type Value struct {
	kind     int16  // base type + 1, so that the zero Value is NOTHING
	variants uint16 // VARIANT layers round it
	num      uint64 // NUMBER: bits; BOOLEAN: 0 or 1; DATETIME, INTEGER, LONG: two's complement
	text     string // text types; BLOB and IMAGE: the bytes; LOCATION: its 24 bytes as on the wire
	table    *InfoTable
}

const locationSize = 24

func kindOf(t BaseType) int16 { return int16(t) + 1 }

// base is the type without VARIANT layers.
func (v Value) base() BaseType { return BaseType(v.kind - 1) }

// NewText returns a value of the text type t. Where t is not a text type the
// value is a STRING. s need not be valid UTF-8: it travels byte for byte.
func NewText(t BaseType, s string) Value {
	if !t.IsText() {
		t = TypeString
	}
	return Value{kind: kindOf(t), text: s}
}

// NewString returns a STRING.
func NewString(s string) Value { return Value{kind: kindOf(TypeString), text: s} }

// NewNumber returns a NUMBER; NaN and the infinities travel as they are.
func NewNumber(f float64) Value {
	return Value{kind: kindOf(TypeNumber), num: math.Float64bits(f)}
}

// NewBoolean returns a BOOLEAN.
func NewBoolean(b bool) Value {
	v := Value{kind: kindOf(TypeBoolean)}
	if b {
		v.num = 1
	}
	return v
}

// NewDateTime returns a DATETIME; ms is milliseconds since 1970-01-01T00:00:00Z.
func NewDateTime(ms int64) Value { return Value{kind: kindOf(TypeDateTime), num: uint64(ms)} }

// NewInteger returns an INTEGER.
func NewInteger(i int32) Value { return Value{kind: kindOf(TypeInteger), num: uint64(int64(i))} }

// NewLong returns a LONG. Send it only to a property that the platform
// declares LONG: PTC's own client does not know the type.
func NewLong(i int64) Value { return Value{kind: kindOf(TypeLong), num: uint64(i)} }

// NewLocation returns a LOCATION.
func NewLocation(l Location) Value {
	var b [locationSize]byte
	binary.BigEndian.PutUint64(b[0:], math.Float64bits(l.Longitude))
	binary.BigEndian.PutUint64(b[8:], math.Float64bits(l.Latitude))
	binary.BigEndian.PutUint64(b[16:], math.Float64bits(l.Elevation))
	return Value{kind: kindOf(TypeLocation), text: string(b[:])}
}

// NewBlob returns a BLOB of a copy of b.
func NewBlob(b []byte) Value { return Value{kind: kindOf(TypeBlob), text: string(b)} }

// NewImage returns an IMAGE of a copy of b.
func NewImage(b []byte) Value { return Value{kind: kindOf(TypeImage), text: string(b)} }

// NewTable returns an INFOTABLE that keeps t, or NOTHING when t is nil.
func NewTable(t *InfoTable) Value {
	if t == nil {
		return Value{}
	}
	return Value{kind: kindOf(TypeInfoTable), table: t}
}

// NewVariant returns a VARIANT round v.
func NewVariant(v Value) Value {
	if v.variants < math.MaxUint16 {
		v.variants++
	}
	return v
}

// Type returns the value's base type: VARIANT for a wrapped value.
func (v Value) Type() BaseType {
	if v.variants > 0 {
		return TypeVariant
	}
	return v.base()
}

// IsNothing reports whether v is NOTHING itself; a VARIANT of NOTHING is not.
func (v Value) IsNothing() bool { return v.kind == 0 && v.variants == 0 }

// Inner removes one VARIANT layer; it returns any other value unchanged.
func (v Value) Inner() Value {
	if v.variants > 0 {
		v.variants--
	}
	return v
}

// Unwrap removes every VARIANT layer.
func (v Value) Unwrap() Value {
	v.variants = 0
	return v
}

// Text returns the text of a value of any text type, else "".
func (v Value) Text() string {
	if !v.base().IsText() {
		return ""
	}
	return v.text
}

// Number returns NUMBER, INTEGER, LONG and DATETIME (milliseconds) as a number
// and BOOLEAN as 0 or 1, else NaN. A LONG or DATETIME beyond 2^53 is rounded.
func (v Value) Number() float64 {
	switch v.base() {
	case TypeNumber:
		return math.Float64frombits(v.num)
	case TypeInteger, TypeLong, TypeDateTime, TypeBoolean:
		return float64(int64(v.num))
	}
	return math.NaN()
}

// Int returns INTEGER, LONG and DATETIME (milliseconds) exactly, BOOLEAN as 0
// or 1 and NUMBER without its fraction, held to the range of int64 (NaN is 0);
// 0 for any other type.
func (v Value) Int() int64 {
	switch v.base() {
	case TypeInteger, TypeLong, TypeDateTime, TypeBoolean:
		return int64(v.num)
	case TypeNumber:
		return truncate(math.Float64frombits(v.num))
	}
	return 0
}

func truncate(f float64) int64 {
	switch {
	case f != f:
		return 0
	case f >= 1<<63:
		return math.MaxInt64
	case f < -1<<63:
		return math.MinInt64
	}
	return int64(f)
}

// Bool returns a BOOLEAN's value, else false. See Truth for other types.
func (v Value) Bool() bool { return v.base() == TypeBoolean && v.num != 0 }

// Truth reports whether the push types ON and OFF take v for true: a BOOLEAN
// that is true, a number that is not 0 (NaN is true), a text, BLOB or IMAGE
// that is not empty, a table with rows, any LOCATION. NOTHING is false.
func (v Value) Truth() bool {
	switch v.base() {
	case TypeNothing:
		return false
	case TypeInfoTable:
		return len(v.table.Rows) > 0
	case TypeNumber:
		return math.Float64frombits(v.num) != 0
	case TypeBoolean, TypeInteger, TypeLong, TypeDateTime:
		return v.num != 0
	}
	return v.text != ""
}

// Millis returns a DATETIME as milliseconds since 1970-01-01T00:00:00Z, else 0.
func (v Value) Millis() int64 {
	if v.base() != TypeDateTime {
		return 0
	}
	return int64(v.num)
}

// Bytes returns a copy of a BLOB's or IMAGE's bytes, else nil.
func (v Value) Bytes() []byte {
	if t := v.base(); t != TypeBlob && t != TypeImage {
		return nil
	}
	return []byte(v.text)
}

// Location returns a LOCATION's value, else the zero Location.
func (v Value) Location() Location {
	if v.base() != TypeLocation {
		return Location{}
	}
	return Location{
		Longitude: v.double(0),
		Latitude:  v.double(8),
		Elevation: v.double(16),
	}
}

func (v Value) double(at int) float64 {
	var n uint64
	for i := range 8 {
		n = n<<8 | uint64(v.text[at+i])
	}
	return math.Float64frombits(n)
}

// Table returns an INFOTABLE's table, else nil. It must not be changed.
func (v Value) Table() *InfoTable { return v.table }

// Equal reports whether v and o have the same type, VARIANT layers included,
// and the same value. NaN equals NaN, 0 equals -0. INTEGER 1 and NUMBER 1 are not equal.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.variants != o.variants {
		return false
	}
	switch v.base() {
	case TypeNumber:
		return sameFloat(math.Float64frombits(v.num), math.Float64frombits(o.num))
	case TypeLocation:
		a, b := v.Location(), o.Location()
		return sameFloat(a.Latitude, b.Latitude) && sameFloat(a.Longitude, b.Longitude) && sameFloat(a.Elevation, b.Elevation)
	case TypeInfoTable:
		return v.table.Equal(o.table)
	}
	return v.num == o.num && v.text == o.text
}

func sameFloat(a, b float64) bool { return a == b || a != a && b != b }

// logText is how many bytes of a text String shows.
const logText = 120

// String describes v for logs and people: its type and its value, of a text the
// first 120 bytes. A PASSWORD is never shown, bytes and rows are only counted.
func (v Value) String() string {
	var b strings.Builder
	for range min(v.variants, 16) {
		b.WriteString("VARIANT ")
	}
	t := v.base()
	b.WriteString(t.String())
	if t == TypeNothing {
		return b.String()
	}
	b.WriteByte(' ')
	b.WriteString(v.logValue(t))
	return b.String()
}

// GoString is String, so that %#v shows no PASSWORD either.
func (v Value) GoString() string { return v.String() }

func (v Value) logValue(t BaseType) string {
	switch t {
	case TypePassword:
		return "<secret>"
	case TypeNumber:
		return strconv.FormatFloat(v.Number(), 'g', -1, 64)
	case TypeBoolean:
		return strconv.FormatBool(v.num != 0)
	case TypeInteger, TypeLong:
		return strconv.FormatInt(int64(v.num), 10)
	case TypeDateTime:
		return time.UnixMilli(int64(v.num)).UTC().Format("2006-01-02T15:04:05.000Z")
	case TypeLocation:
		l := v.Location()
		g := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
		return g(l.Latitude) + "," + g(l.Longitude) + "," + g(l.Elevation)
	case TypeBlob, TypeImage:
		return strconv.Itoa(len(v.text)) + " bytes"
	case TypeInfoTable:
		return strconv.Itoa(len(v.table.Fields)) + " fields, " + strconv.Itoa(len(v.table.Rows)) + " rows"
	}
	if len(v.text) <= logText {
		return strconv.Quote(v.text)
	}
	cut := logText
	for cut > logText-utf8.UTFMax && !utf8.RuneStart(v.text[cut]) {
		cut--
	}
	return strconv.Quote(v.text[:cut]) + "… (" + strconv.Itoa(len(v.text)) + " bytes)"
}
