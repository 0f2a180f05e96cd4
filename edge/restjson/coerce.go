package restjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// Coerce gives v as base type t, the way a platform does when it stores a value
// in a property or hands a parameter to a service. False: v does not fit t.
func Coerce(v alwayson.Value, t alwayson.BaseType) (alwayson.Value, bool) {
	v = v.Unwrap()
	if v.Type() == t || t == alwayson.TypeVariant {
		return v, true
	}
	if v.IsNothing() {
		return v, false
	}
	switch {
	case t.IsText():
		s, ok := Text(v)
		return alwayson.NewText(t, s), ok
	case v.Type().IsText() && v.Type() == alwayson.TypeJSON:
		return fitting(json.RawMessage(v.Text()), alwayson.FieldDefinition{Type: t})
	case v.Type().IsText():
		return newReader().fromText(v.Text(), t)
	}
	switch t {
	case alwayson.TypeNumber, alwayson.TypeInteger, alwayson.TypeLong, alwayson.TypeDateTime, alwayson.TypeBoolean:
		return numberAs(v, t)
	case alwayson.TypeBlob, alwayson.TypeImage:
		if v.Type() == alwayson.TypeBlob || v.Type() == alwayson.TypeImage {
			return bytesAs(v.Bytes(), t), true
		}
	}
	return v, false
}

// fitting reads JSON that stands in a text, so that nobody has looked yet how deep it is.
func (r *reader) fitting(raw json.RawMessage, f alwayson.FieldDefinition) (alwayson.Value, bool) {
	if !Shallow(raw, maxDepth) {
		return alwayson.Value{}, false
	}
	v, err := r.value(raw, f)
	return v, err == nil
}

func bytesAs(b []byte, t alwayson.BaseType) alwayson.Value {
	if t == alwayson.TypeImage {
		return alwayson.NewImage(b)
	}
	return alwayson.NewBlob(b)
}

// fitting is Value for those who only ask whether it fits.
func fitting(raw json.RawMessage, f alwayson.FieldDefinition) (alwayson.Value, bool) {
	return newReader().fitting(raw, f)
}

// numberAs converts among NUMBER, INTEGER, LONG, DATETIME and BOOLEAN.
func numberAs(v alwayson.Value, t alwayson.BaseType) (alwayson.Value, bool) {
	f := v.Number()
	whole := int64(f)
	switch v.Type() {
	case alwayson.TypeInteger, alwayson.TypeLong, alwayson.TypeDateTime:
		whole = v.Int()
	case alwayson.TypeNumber:
		if t != alwayson.TypeNumber && (math.IsNaN(f) || math.Abs(f) >= 1<<63) {
			return v, false
		}
	case alwayson.TypeBoolean:
	default:
		return v, false
	}
	switch t {
	case alwayson.TypeNumber:
		return alwayson.NewNumber(f), true
	case alwayson.TypeInteger:
		if whole != int64(int32(whole)) {
			return v, false
		}
		return alwayson.NewInteger(int32(whole)), true
	case alwayson.TypeLong:
		return alwayson.NewLong(whole), true
	case alwayson.TypeDateTime:
		return alwayson.NewDateTime(whole), v.Type() != alwayson.TypeBoolean
	}
	return alwayson.NewBoolean(f != 0), true
}

// Text writes a value as the platform shows it in a text.
func Text(v alwayson.Value) (string, bool) {
	switch v.Type() {
	case alwayson.TypeNumber:
		return strconv.FormatFloat(v.Number(), 'g', -1, 64), true
	case alwayson.TypeInteger, alwayson.TypeLong:
		return strconv.FormatInt(v.Int(), 10), true
	case alwayson.TypeBoolean:
		return strconv.FormatBool(v.Bool()), true
	case alwayson.TypeDateTime:
		return time.UnixMilli(v.Millis()).UTC().Format("2006-01-02T15:04:05.000Z07:00"), true
	case alwayson.TypeLocation, alwayson.TypeInfoTable:
		return string(AppendValue(nil, v)), true
	}
	return v.Text(), v.Type().IsText()
}

// fromText reads a bare text as base type t.
func (r *reader) fromText(s string, t alwayson.BaseType) (alwayson.Value, bool) {
	s = strings.TrimSpace(s)
	switch t {
	case alwayson.TypeNumber:
		f, err := strconv.ParseFloat(s, 64)
		return alwayson.NewNumber(f), err == nil
	case alwayson.TypeInteger:
		n, err := strconv.ParseInt(s, 10, 32)
		return alwayson.NewInteger(int32(n)), err == nil
	case alwayson.TypeLong:
		n, err := strconv.ParseInt(s, 10, 64)
		return alwayson.NewLong(n), err == nil
	case alwayson.TypeBoolean:
		b, err := strconv.ParseBool(strings.ToLower(s))
		return alwayson.NewBoolean(b), err == nil
	case alwayson.TypeDateTime:
		if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
			return alwayson.NewDateTime(ms), true
		}
		at, err := time.Parse(time.RFC3339Nano, s)
		return alwayson.NewDateTime(at.UnixMilli()), err == nil
	case alwayson.TypeLocation:
		return locationFromText(s)
	case alwayson.TypeBlob, alwayson.TypeImage:
		b, err := base64.StdEncoding.DecodeString(s)
		return bytesAs(b, t), err == nil
	case alwayson.TypeInfoTable:
		return r.fitting(json.RawMessage(s), alwayson.FieldDefinition{Type: t})
	}
	return alwayson.Value{}, false
}

// locationFromText reads "latitude,longitude[,elevation]" or a JSON object.
func locationFromText(s string) (alwayson.Value, bool) {
	if strings.HasPrefix(s, "{") {
		return fitting(json.RawMessage(s), alwayson.FieldDefinition{Type: alwayson.TypeLocation})
	}
	parts := strings.Split(s, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return alwayson.Value{}, false
	}
	var f [3]float64
	for i, part := range parts {
		var err error
		if f[i], err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil || math.IsNaN(f[i]) || math.IsInf(f[i], 0) {
			return alwayson.Value{}, false // JSON could not write it as a place
		}
	}
	return alwayson.NewLocation(alwayson.Location{Latitude: f[0], Longitude: f[1], Elevation: f[2]}), true
}

// Infer gives a JSON value the base type that it looks like.
func Infer(raw json.RawMessage) alwayson.BaseType {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return alwayson.TypeNothing
	}
	switch c := raw[0]; {
	case c == 'n':
		return alwayson.TypeNothing
	case c == '"':
		return alwayson.TypeString
	case c == 't' || c == 'f':
		return alwayson.TypeBoolean
	case c == '-' || c >= '0' && c <= '9':
		return alwayson.TypeNumber
	case c == '[':
		var rows []map[string]json.RawMessage
		if json.Unmarshal(raw, &rows) == nil && len(rows) > 0 {
			return alwayson.TypeInfoTable
		}
	case c == '{':
		var keys map[string]json.RawMessage
		if json.Unmarshal(raw, &keys) != nil {
			break
		}
		if keys["dataShape"] != nil && keys["rows"] != nil {
			return alwayson.TypeInfoTable
		}
		if isLocation(keys) {
			return alwayson.TypeLocation
		}
	}
	return alwayson.TypeJSON
}

func isLocation(keys map[string]json.RawMessage) bool {
	if keys["latitude"] == nil || keys["longitude"] == nil {
		return false
	}
	for k, v := range keys {
		switch k {
		case "latitude", "longitude", "elevation":
			if Infer(v) != alwayson.TypeNumber {
				return false
			}
		case "units":
		default:
			return false
		}
	}
	return true
}
