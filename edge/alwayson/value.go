package alwayson

// Value is one primitive: a base type and a value of it. The zero Value is
// NOTHING. A Value is immutable and safe to share; it keeps the byte slice or
// table it was built from, which must not be changed afterwards.
type Value struct {
	kind int16 // base type + 1, so that the zero Value is NOTHING
	num  uint64
	text string
	ref  any // *InfoTable, *Location or *Value
}
