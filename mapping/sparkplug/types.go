package sparkplug

// DataType is the type of a metric, a property or a column.
type DataType uint32

// Data types.
const (
	Unknown         DataType = 0
	Int8            DataType = 1
	Int16           DataType = 2
	Int32           DataType = 3
	Int64           DataType = 4
	UInt8           DataType = 5
	UInt16          DataType = 6
	UInt32          DataType = 7
	UInt64          DataType = 8
	Float           DataType = 9
	Double          DataType = 10
	Boolean         DataType = 11
	String          DataType = 12
	DateTime        DataType = 13
	Text            DataType = 14
	UUID            DataType = 15
	DataSetType     DataType = 16
	Bytes           DataType = 17
	File            DataType = 18
	TemplateType    DataType = 19
	PropertySet     DataType = 20
	PropertySetList DataType = 21
	Int8Array       DataType = 22
	Int16Array      DataType = 23
	Int32Array      DataType = 24
	Int64Array      DataType = 25
	UInt8Array      DataType = 26
	UInt16Array     DataType = 27
	UInt32Array     DataType = 28
	UInt64Array     DataType = 29
	FloatArray      DataType = 30
	DoubleArray     DataType = 31
	BooleanArray    DataType = 32
	StringArray     DataType = 33
	DateTimeArray   DataType = 34
)

var typeNames = [...]string{
	"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
	"DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array",
	"Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray",
	"BooleanArray", "StringArray", "DateTimeArray",
}

func (t DataType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[0]
}

// ParseDataType reads a type's name.
func ParseDataType(name string) (DataType, bool) {
	for t, n := range typeNames {
		if n == name && t > 0 {
			return DataType(t), true
		}
	}
	return Unknown, false
}

// integer is the range of an integer type.
type integer struct {
	bits   int
	signed bool
}

var integers = map[DataType]integer{
	Int8: {8, true}, Int16: {16, true}, Int32: {32, true}, Int64: {64, true},
	UInt8: {8, false}, UInt16: {16, false}, UInt32: {32, false}, UInt64: {64, false},
	Int8Array: {8, true}, Int16Array: {16, true}, Int32Array: {32, true}, Int64Array: {64, true},
	UInt8Array: {8, false}, UInt16Array: {16, false}, UInt32Array: {32, false}, UInt64Array: {64, false},
	DateTimeArray: {64, true},
}

// bounds gives the least and the greatest value; those of 64 bits do not matter.
func (i integer) bounds() (low, high int64) {
	if i.signed {
		return -1 << (i.bits - 1), 1<<(i.bits-1) - 1
	}
	return 0, 1<<i.bits - 1
}
