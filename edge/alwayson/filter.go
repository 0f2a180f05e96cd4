package alwayson

import (
	"hash/maphash"
	"math"
)

// PushFilter decides for one property which of its values are pushed. The
// zero PushFilter has seen nothing. It takes 32 bytes and keeps no value, only
// numbers and hashes of texts. Not safe for concurrent use.
type PushFilter struct{ seen, sent mark }

// mark is what must be remembered of a value: a number exactly, anything else as a hash.
type mark struct {
	bits    uint64
	quality uint32
	base    BaseType
	set     bool
}

var markSeed = maphash.MakeSeed()

func markOf(v *PropertyValue) mark {
	inner := v.Value.Unwrap()
	m := mark{base: inner.Type(), set: true, quality: uint32(maphash.String(markSeed, v.quality()))}
	switch {
	case m.base == TypeInfoTable:
		b, _ := AppendValue(nil, inner)
		m.bits = maphash.Bytes(markSeed, b)
	case inner.text != "":
		m.bits = maphash.String(markSeed, inner.text)
	default:
		m.bits = inner.num
	}
	return m
}

// Decide reports whether v is to be pushed under sub, and remembers it as seen.
// Call it for every value, in order. The first value is always pushed, except
// under NEVER (rule P1), and so is every value up to the first call of Sent.
// NOTHING is never pushed (rule P3).
func (f *PushFilter) Decide(sub Subscription, v PropertyValue) bool {
	if v.Value.Unwrap().IsNothing() {
		return false
	}
	now := markOf(&v)
	previous := f.seen
	f.seen = now
	switch {
	case sub.Push == PushNever:
		return false
	case sub.Push == PushAlways || !f.sent.set:
		return true
	case sub.Push == PushOn:
		return v.Value.Truth()
	case sub.Push == PushOff:
		return !v.Value.Truth()
	case sub.Push == PushDeadband:
		return now.differs(f.sent, sub.Threshold)
	}
	return now.differs(previous, sub.Threshold)
}

// Sent remembers v as the value sent last. Call it once v is certain to reach
// the platform: handed to a queue that keeps it.
func (f *PushFilter) Sent(v PropertyValue) { f.sent = markOf(&v) }

// differs reports whether m and o differ in quality, in type, or in value: a
// number by more than the threshold (rule P2), anything else at all.
func (m mark) differs(o mark, threshold float64) bool {
	if !o.set || m.quality != o.quality || m.base != o.base {
		return true
	}
	if m.bits == o.bits {
		return false
	}
	switch m.base {
	case TypeNumber:
		a, b := math.Float64frombits(m.bits), math.Float64frombits(o.bits)
		return !sameFloat(a, b) && !(math.Abs(a-b) <= threshold)
	case TypeInteger, TypeLong:
		return float64(distance(int64(m.bits), int64(o.bits))) > threshold
	}
	return true
}

// distance is |a-b|, exact over the whole range.
func distance(a, b int64) uint64 {
	if a < b {
		a, b = b, a
	}
	return uint64(a) - uint64(b)
}
