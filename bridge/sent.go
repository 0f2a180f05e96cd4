package bridge

import (
	"encoding/binary"
	"sync"

	"thingbridge/edge/alwayson"
)

// A retained value comes again with every subscription. So that it is not pushed
// again, the Bridge remembers a hash of each property's last value that the
// platform has, and saves these hashes every five seconds and at the end: after a
// kill, a retained value that changed in the last seconds may be pushed twice.

// sentHash is the value that the platform has of one property.
type sentHash struct {
	name  uint64
	value uint64
}

// FNV-1a, by hand because the standard library's costs an allocation.
const (
	hashStart uint64 = 14695981039346656037
	hashPrime uint64 = 1099511628211
)

func hash[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * hashPrime
	}
	return h
}

func hashText(s string) uint64 { return hash(hashStart, s) }

var hashBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 128)) }}

// hashValue is a hash of value and quality, never 0; time is no part of it.
func hashValue(v *alwayson.PropertyValue) uint64 {
	buf := hashBuffers.Get().(*[]byte)
	defer hashBuffers.Put(buf)
	data, err := alwayson.AppendValue((*buf)[:0], v.Value)
	if err != nil {
		return 1
	}
	const keep = 4096 // a larger buffer is left to the garbage collector
	if cap(data) <= keep {
		*buf = data
	}
	return max(1, hash(hash(hashStart, data), v.Quality))
}

// unchangedLocked reports whether a retained value is the one that was learnt
// in this run, or that the platform had before the restart. While values wait from
// before it, the platform will have one of those, so that says nothing.
func (b *Bridge) unchangedLocked(t *thing, v *alwayson.PropertyValue, waiting bool) bool {
	if k := t.knownLocked(v.Name); k != nil {
		return !k.unkept && k.Quality == v.Quality && k.Value.Equal(v.Value)
	}
	if waiting {
		return false
	}
	name := hashText(v.Name)
	for _, h := range b.retained[t.name] {
		if h.name == name {
			return h.value == hashValue(v)
		}
	}
	return false
}

// deliveredLocked notes that the platform has these values, or decided by its
// push types not to have them.
func (b *Bridge) deliveredLocked(t *thing, vals []alwayson.PropertyValue) {
	for i := range vals {
		if k := t.knownLocked(vals[i].Name); k != nil {
			k.sent = hashValue(&vals[i])
			continue
		}
		before := b.retained[t.name]
		if len(before) == 0 {
			continue
		}
		name := hashText(vals[i].Name)
		for j := range before {
			if before[j].name == name {
				before[j].value = hashValue(&vals[i])
			}
		}
	}
}

// encodeSent writes the hashes of known values that were sent, and those of
// the last run whose properties were not met again.
func encodeSent(list []known, before []sentHash) []byte {
	data := []byte{savedVersion}
	seen := make(map[uint64]bool, len(list))
	add := func(h sentHash) {
		data = binary.BigEndian.AppendUint64(data, h.name)
		data = binary.BigEndian.AppendUint64(data, h.value)
	}
	for i := range list {
		if list[i].sent != 0 {
			h := sentHash{hashText(list[i].Name), list[i].sent}
			seen[h.name] = true
			add(h)
		}
	}
	for _, h := range before {
		if !seen[h.name] {
			add(h)
		}
	}
	return data
}

func decodeSent(data []byte) []sentHash {
	if len(data) == 0 || data[0] != savedVersion {
		return nil
	}
	data = data[1:]
	list := make([]sentHash, 0, len(data)/16)
	for ; len(data) >= 16; data = data[16:] {
		list = append(list, sentHash{binary.BigEndian.Uint64(data), binary.BigEndian.Uint64(data[8:])})
	}
	return list
}
