package mapping

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// timeLayout is how times are written: RFC 3339, UTC, milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// errNull says that a value is null: no value, and no fault.
var errNull = errors.New("null is no value")

// Convert makes a platform value of the declared type from decoded JSON: nil,
// bool, int, float64, string, []byte, []any, map[string]any. Whole numbers
// stay exact over 64 bits. It refuses what does not fit (text that is not a
// number for a NUMBER, 2^31 for an INTEGER, infinity) with an error that says
// what was wanted; nil is refused for every type but NOTHING.
func Convert(def *alwayson.FieldDefinition, v any) (alwayson.Value, error) {
	return new(converter).convert(def, v)
}

// maxCells bounds the tables of one message together, as the wire does those of one of
// its messages. Every row has a cell for every column, also where the JSON names none,
// so that a short payload could make more cells than there is memory.
const maxCells = alwayson.DefaultCells

// converter makes the values of one message.
type converter struct{ cells int } // of the tables made so far

func (c *converter) convert(def *alwayson.FieldDefinition, v any) (alwayson.Value, error) {
	if def.Type == alwayson.TypeNothing {
		return alwayson.Value{}, nil
	}
	if v == nil {
		return alwayson.Value{}, errNull
	}
	switch def.Type {
	case alwayson.TypeNumber:
		f, err := toFloat(v)
		return alwayson.NewNumber(f), err
	case alwayson.TypeInteger:
		i, err := toInteger(v, math.MinInt32, math.MaxInt32, "an INTEGER (32 bits)")
		return alwayson.NewInteger(int32(i)), err
	case alwayson.TypeLong:
		i, err := toInteger(v, math.MinInt64, math.MaxInt64, "a LONG")
		return alwayson.NewLong(i), err
	case alwayson.TypeBoolean:
		b, err := toBoolean(v)
		return alwayson.NewBoolean(b), err
	case alwayson.TypeDateTime:
		ms, err := toMillis(v)
		return alwayson.NewDateTime(ms), err
	case alwayson.TypeLocation:
		l, ok := toLocation(v)
		if !ok {
			return alwayson.Value{}, unwanted("a LOCATION {latitude, longitude, elevation} in degrees", v)
		}
		return alwayson.NewLocation(l), nil
	case alwayson.TypeBlob:
		b, err := toBytes(v, "a BLOB as base64")
		return alwayson.NewBlob(b), err
	case alwayson.TypeImage:
		b, err := toBytes(v, "an IMAGE as base64")
		return alwayson.NewImage(b), err
	case alwayson.TypeInfoTable:
		t, err := c.table(def, v)
		return alwayson.NewTable(t), err
	case alwayson.TypeJSON, alwayson.TypeQuery:
		if text, ok := v.(string); ok && def.Type == alwayson.TypeQuery { // a query is text already
			return alwayson.NewText(def.Type, validText(text)), nil
		}
		if jsonLength(v, maxJSON) > maxJSON {
			return alwayson.Value{}, fmt.Errorf("%s of more than %d bytes", def.Type, maxJSON)
		}
		return alwayson.NewText(def.Type, string(appendAny(nil, v))), nil
	case alwayson.TypeVariant:
		return alwayson.NewVariant(c.infer(v)), nil
	}
	if !def.Type.IsText() {
		return alwayson.Value{}, fmt.Errorf("no value of type %s can be made", def.Type)
	}
	s, err := toText(v)
	return alwayson.NewText(def.Type, s), err
}

// maxJSON bounds JSON that a value becomes: a table has the names of its columns in
// every row then, so that a short one can be gigabytes.
const maxJSON = 32 << 20

// jsonLength is how long a value is as JSON, at least; it stops when it is over limit.
func jsonLength(v any, limit int) int {
	switch v := v.(type) {
	case string:
		return len(v) + len(`""`)
	case []byte:
		return len(v)
	case []any:
		n := 1 + len(v)
		for i := 0; i < len(v) && n <= limit; i++ {
			n += jsonLength(v[i], limit-n)
		}
		return n
	case map[string]any:
		n := 1 + len(v)
		for name, item := range v {
			if n += len(name) + len(`"":`) + jsonLength(item, limit-n); n > limit {
				break
			}
		}
		return n
	}
	return 1
}

func unwanted(what string, v any) error {
	switch v := v.(type) {
	case string:
		return fmt.Errorf("%s is wanted, not the text %q", what, shorten(v, 40))
	case int, float64, bool:
		return fmt.Errorf("%s is wanted, not %s", what, appendAny(nil, v))
	}
	return fmt.Errorf("%s is wanted, not %s", what, kindOf(v))
}

func toFloat(v any) (float64, error) {
	switch n := v.(type) {
	case int:
		return float64(n), nil
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, errors.New("a NUMBER is wanted, not infinity or an overflow")
		}
		return n, nil
	case string:
		if parsed := numericText(n); parsed != nil {
			return toFloat(parsed)
		}
	}
	return 0, unwanted("a NUMBER", v)
}

// numericText is the number that text writes in JSON's form (a leading + and
// zeros are borne), or nil.
func numericText(s string) any {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 400 {
		return nil
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return nil
		}
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return int(i)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil
	}
	return f
}

func toInteger(v any, low, high int64, what string) (int64, error) {
	switch n := v.(type) {
	case int:
		if int64(n) >= low && int64(n) <= high {
			return int64(n), nil
		}
	case float64:
		// 2^63 itself is a float64 but no int64.
		if n == math.Trunc(n) && n >= float64(low) && (n < float64(high) || high < math.MaxInt64 && n <= float64(high)) {
			return int64(n), nil
		}
	case string:
		if parsed := numericText(n); parsed != nil {
			return toInteger(parsed, low, high, what)
		}
	}
	return 0, unwanted(what, v)
}

func toBoolean(v any) (bool, error) {
	switch v {
	case true, "true":
		return true, nil
	case false, "false":
		return false, nil
	}
	return false, unwanted("a BOOLEAN true or false", v)
}

func toMillis(v any) (int64, error) {
	const what = "a DATETIME in milliseconds or RFC 3339"
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t.UnixMilli(), nil
		}
	}
	if f, ok := v.(float64); ok {
		v = math.Floor(f)
	}
	ms, err := toInteger(v, -maxMillis, maxMillis, what)
	if err != nil {
		return 0, unwanted(what, v)
	}
	return ms, nil
}

// maxMillis is the end of year 9999, the last that RFC 3339 can write.
const maxMillis = 253402300799999

func toLocation(v any) (alwayson.Location, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return alwayson.Location{}, false
	}
	lat, ok1 := coordinate(m, "latitude", 90)
	lon, ok2 := coordinate(m, "longitude", 180)
	elev, ok3 := coordinate(m, "elevation", math.MaxFloat64)
	if m["elevation"] == nil {
		elev, ok3 = 0, true
	}
	return alwayson.Location{Latitude: lat, Longitude: lon, Elevation: elev}, ok1 && ok2 && ok3
}

func coordinate(m map[string]any, name string, bound float64) (float64, bool) {
	f, err := toFloat(m[name])
	return f, err == nil && math.Abs(f) <= bound
}

func toBytes(v any, what string) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if b, err := enc.DecodeString(v); err == nil {
				return b, nil
			}
		}
	}
	return nil, unwanted(what, v)
}

func toText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return validText(v), nil
	case bool, int:
		return string(appendAny(nil, v)), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", errors.New("text is wanted, not an overflow")
		}
		return string(appendFloat(nil, v)), nil
	}
	return "", unwanted("text", v)
}

// Infer gives the value its natural type: number NUMBER, text STRING, true and
// false BOOLEAN, {latitude, longitude[, elevation]} LOCATION, a list of objects
// INFOTABLE, bytes BLOB, nil NOTHING, anything else JSON.
func Infer(v any) alwayson.Value { return new(converter).infer(v) }

func (c *converter) infer(v any) alwayson.Value {
	def := alwayson.FieldDefinition{Type: inferType(v)}
	out, err := c.convert(&def, v)
	if err != nil && v != nil { // a table of what has too little in common, an overflow
		return alwayson.NewText(alwayson.TypeJSON, string(appendAny(nil, v)))
	}
	return out
}

func inferType(v any) alwayson.BaseType {
	switch v := v.(type) {
	case nil:
		return alwayson.TypeNothing
	case bool:
		return alwayson.TypeBoolean
	case int, float64:
		return alwayson.TypeNumber
	case string:
		return alwayson.TypeString
	case []byte:
		return alwayson.TypeBlob
	case map[string]any:
		_, location := toLocation(v)
		if _, elevation := v["elevation"]; location && (len(v) == 2 || len(v) == 3 && elevation) {
			if kindOf(v["latitude"]) == "a number" && kindOf(v["longitude"]) == "a number" {
				return alwayson.TypeLocation
			}
		}
	case []any:
		if len(v) == 0 {
			return alwayson.TypeJSON
		}
		for _, item := range v {
			if m, ok := item.(map[string]any); !ok || len(m) == 0 {
				return alwayson.TypeJSON
			}
		}
		return alwayson.TypeInfoTable
	}
	return alwayson.TypeJSON
}

// SingleNumber gives a 32-bit float as the number that people read in it: the
// shortest decimal that is it, 21.3 and not 21.299999237060547.
func SingleNumber(f float32) float64 {
	n, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return float64(f)
	}
	return n
}
