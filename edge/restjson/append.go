package restjson

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"

	"thingbridge/edge/alwayson"
)

// AppendValue writes a value as REST shows it; see the package comment.
func AppendValue(dst []byte, v alwayson.Value) []byte {
	v = v.Unwrap()
	switch t := v.Type(); t {
	case alwayson.TypeNothing:
		return append(dst, "null"...)
	case alwayson.TypeNumber:
		return appendFloat(dst, v.Number())
	case alwayson.TypeInteger, alwayson.TypeLong, alwayson.TypeDateTime:
		return strconv.AppendInt(dst, v.Int(), 10)
	case alwayson.TypeBoolean:
		return strconv.AppendBool(dst, v.Bool())
	case alwayson.TypeLocation:
		at := v.Location()
		dst = appendFloat(append(dst, `{"latitude":`...), at.Latitude)
		dst = appendFloat(append(dst, `,"longitude":`...), at.Longitude)
		dst = appendFloat(append(dst, `,"elevation":`...), at.Elevation)
		return append(dst, '}')
	case alwayson.TypeBlob, alwayson.TypeImage:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"')
	case alwayson.TypeInfoTable:
		return AppendTable(dst, v.Table())
	case alwayson.TypeJSON:
		if json.Valid([]byte(v.Text())) {
			return append(dst, v.Text()...)
		}
	}
	return appendText(dst, v.Text())
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func appendText(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // no string does that
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

// MaxLength is how long the JSON of one value may be that is held as a whole: far
// more than an honest message makes, far less than a hostile one could.
const MaxLength = 16 << 20

// Length is how long the JSON of a value is, at least: what the names of columns,
// which every row repeats, and the texts come to. It costs less than writing it.
func Length(v alwayson.Value) int {
	v = v.Unwrap()
	t := v.Table()
	if t == nil {
		return len(v.Text()) + 1
	}
	names := 0
	for _, f := range t.Fields {
		names += len(f.Name) + len(`"":0,`)
	}
	n := names * len(t.Rows)
	for _, row := range t.Rows {
		for _, cell := range row {
			n += Length(cell)
		}
	}
	return n
}

// AppendTable writes an info table in REST's shape.
func AppendTable(dst []byte, t *alwayson.InfoTable) []byte {
	if t == nil {
		return append(dst, "null"...)
	}
	dst = appendShape(dst, t)
	for i, row := range t.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for j := range t.Fields {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendCell(dst, t, row, j)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// appendShape writes a table up to its first row.
func appendShape(dst []byte, t *alwayson.InfoTable) []byte {
	dst = append(dst, `{"dataShape":{"fieldDefinitions":{`...)
	for i, f := range t.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, f.Name), ':')
		dst = appendText(append(dst, `{"name":`...), f.Name)
		dst = appendText(append(dst, `,"description":`...), f.Description)
		dst = appendText(append(dst, `,"baseType":`...), f.Type.String())
		dst = strconv.AppendInt(append(dst, `,"ordinal":`...), int64(i), 10)
		dst = append(dst, `,"aspects":{`...)
		for j, a := range f.Aspects {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, a.Name), ':')
			dst = AppendValue(dst, a.Value)
		}
		dst = append(dst, "}}"...)
	}
	return append(dst, `}},"rows":[`...)
}

func appendCell(dst []byte, t *alwayson.InfoTable, row []alwayson.Value, j int) []byte {
	dst = append(appendText(dst, t.Fields[j].Name), ':')
	if j < len(row) {
		return AppendValue(dst, row[j])
	}
	return append(dst, "null"...)
}
