package alwayson

import (
	"math"
	"strconv"
	"strings"
)

var pushTypeNames = [...]string{PushValue: "VALUE", PushAlways: "ALWAYS", PushNever: "NEVER", PushOn: "ON", PushOff: "OFF", PushDeadband: "DEADBAND"}

// String returns the platform's name of p ("VALUE").
func (p PushType) String() string {
	if int(p) < len(pushTypeNames) {
		return pushTypeNames[p]
	}
	return "PUSHTYPE(" + strconv.Itoa(int(p)) + ")"
}

// ParsePushType returns the push type of that name, in any case.
func ParsePushType(name string) (PushType, bool) {
	for i, n := range pushTypeNames {
		if strings.EqualFold(n, name) {
			return PushType(i), true
		}
	}
	return PushValue, false
}

// String returns the state in a word: "unbound", "binding", "bound", "refused".
func (s BindState) String() string {
	switch s {
	case Unbound:
		return "unbound"
	case Binding:
		return "binding"
	case Bound:
		return "bound"
	case Refused:
		return "refused"
	}
	return "BindState(" + strconv.Itoa(int(s)) + ")"
}

// pushFields are the columns of property values on the wire. Shared by all
// tables that this package makes, never changed.
var pushFields = []Field{
	{Name: "name", Type: TypeString},
	{Name: "value", Type: TypeVariant},
	{Name: "time", Type: TypeDateTime},
	{Name: "quality", Type: TypeString},
}

var valuesFields = []Field{{Name: "values", Type: TypeInfoTable}}

// quality is what is sent for v: GOOD where nothing is said.
func (v *PropertyValue) quality() string {
	if v.Quality == "" {
		return QualityGood
	}
	return v.Quality
}

// ValuesTable returns the table of property values that SynchronizeModelState
// answers and that a push carries: name, value, time, quality and a row per
// value. A NOTHING value has no row, since the platform takes no nulls (rule P3);
// an empty quality is sent as GOOD.
func ValuesTable(vals []PropertyValue) *InfoTable {
	t := newTable()
	t.Fields = pushFields
	if len(vals) > 1 {
		t.Rows = make([][]Value, 0, len(vals))
	}
	columns := len(pushFields)
	cells := make([]Value, 0, len(vals)*columns)
	for i := range vals {
		v := &vals[i]
		inner := v.Value.Unwrap()
		if inner.IsNothing() {
			continue
		}
		cells = append(cells, NewString(v.Name), NewVariant(inner), NewDateTime(v.Time), NewString(v.quality()))
		t.Rows = append(t.Rows, cells[len(cells)-columns:len(cells):len(cells)])
	}
	return t
}

// PushRequest returns the body of the POST that gives the platform values of a
// Thing's properties, oldest first, as ValuesTable makes them. Its encoding is
// PushSize(entity) bytes and EncodedSize of each value long.
func PushRequest(entity string, vals []PropertyValue) *Request {
	params := newTable()
	params.Fields = valuesFields
	params.Rows = append(params.Rows, []Value{NewTable(ValuesTable(vals))})
	return ServiceRequest(EntityThing, entity, ServicePush, params)
}

// PushSize is the length in bytes of the encoded body of a push without values.
func PushSize(entity string) int {
	const (
		request = 1 + 1 + 1 + 1 // entity type, characteristic, header count, INFOTABLE
		around  = 1 + 3 + 1 + 1 // end of fields, marker and count of the one row, INFOTABLE, end of rows
		ends    = 2             // of the values' fields and rows
	)
	return request + textSize(entity) + textSize(ServicePush) + fieldsSize(valuesFields) + around + fieldsSize(pushFields) + ends
}

// EncodedSize is the number of bytes that v adds to the body of a push; 0 for
// a NOTHING value, which is left out.
func (v PropertyValue) EncodedSize() int {
	inner := v.Value.Unwrap()
	if inner.IsNothing() {
		return 0
	}
	const row, variant, typeByte, time = 3, 1, 1, 9
	return row + typeByte + textSize(v.Name) + variant + valueSize(inner) + time + typeByte + textSize(v.quality())
}

func textSize(s string) int {
	if len(s) < shortString {
		return 1 + len(s)
	}
	return 4 + len(s)
}

func fieldsSize(fields []Field) int {
	n := 0
	for i := range fields {
		f := &fields[i]
		n += 1 + textSize(f.Name) + textSize(f.Description) + 1 + 2
		for j := range f.Aspects {
			n += textSize(f.Aspects[j].Name) + valueSize(f.Aspects[j].Value)
		}
	}
	return n
}

func tableSize(t *InfoTable) int {
	n := fieldsSize(t.Fields) + 2
	for _, row := range t.Rows {
		n += 3 + max(0, len(t.Fields)-len(row))
		for _, v := range row {
			n += valueSize(v)
		}
	}
	return n
}

// valueSize is the length of v's encoding, type byte included.
func valueSize(v Value) int {
	n := int(v.variants) + 1
	switch t := v.base(); t {
	case TypeNothing:
	case TypeNumber, TypeDateTime, TypeLong:
		n += 8
	case TypeInteger:
		n += 4
	case TypeBoolean:
		n++
	case TypeInfoTable:
		n += tableSize(v.table)
	case TypeLocation:
		n += locationSize
	case TypeBlob, TypeImage:
		n += 4 + len(v.text)
	default:
		n += textSize(v.text)
	}
	return n
}

// SubscriptionsFromTable reads the answer to GetPropertySubscriptions, or the
// propertyInfo of SynchronizeModelState. Columns are found by name; a row
// without edgeName is skipped, a push type that is missing or unknown is VALUE,
// a threshold that is missing or not a number of 0 or more is 0. Only a table that
// has rows and no column edgeName is an error. The texts are copies.
func SubscriptionsFromTable(t *InfoTable) ([]Subscription, error) {
	if inner := Result(NewTable(t), resultName).Table(); inner != nil {
		t = inner
	}
	if t.Len() == 0 {
		return nil, nil
	}
	name := t.Column("edgeName")
	if name < 0 {
		return nil, &DecodeError{What: "property subscriptions: column edgeName", Err: ErrNoColumn}
	}
	push, threshold := t.Column("pushType"), t.Column("pushThreshold")
	subs := make([]Subscription, 0, len(t.Rows))
	for row := range t.Rows {
		s := Subscription{EdgeName: strings.Clone(t.At(row, name).Text())}
		if s.EdgeName == "" {
			continue
		}
		s.Push, _ = ParsePushType(t.At(row, push).Text())
		s.Threshold = thresholdOf(t.At(row, threshold))
		subs = append(subs, s)
	}
	return subs, nil
}

func thresholdOf(v Value) float64 {
	f := v.Number()
	if text := strings.TrimSpace(v.Text()); text != "" {
		f, _ = strconv.ParseFloat(text, 64)
	}
	if !(f > 0) || math.IsInf(f, 1) {
		return 0
	}
	return f
}
