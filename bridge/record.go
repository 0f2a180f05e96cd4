package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// A Record's data starts with its kind. What follows:
//
//	values  count, then per value: name, time, quality, primitive as on the wire
//	event   name, time, presence of data (0 or 1), the data as a primitive
//	raw     topic, time, retained (0 or 1), payload: a message of a Thing that
//	        was not announced when it came; the rules see it again when it is its turn
//
// Names, topics and quality are a length and bytes; counts and lengths are
// unsigned varints, times signed varints in milliseconds.
const (
	recordValues byte = 1
	recordEvent  byte = 2
	recordRaw    byte = 3
)

const maxFoldKey = 200

var errBadRecord = errors.New("outbox record is damaged")

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// encodeValues makes the record of one message's values. Key lets a full
// outbox keep only the newest record of the same set of properties.
func encodeValues(thing string, vals []alwayson.PropertyValue, now time.Time) (Record, error) {
	size := 16
	for i := range vals {
		size += len(vals[i].Name) + 32
	}
	data := make([]byte, 1, size)
	data[0] = recordValues
	data = binary.AppendUvarint(data, uint64(len(vals)))
	var err error
	for i := range vals {
		v := &vals[i]
		data = appendText(data, v.Name)
		data = binary.AppendVarint(data, v.Time)
		quality := v.Quality
		if quality == alwayson.QualityGood {
			quality = ""
		}
		data = appendText(data, quality)
		if data, err = alwayson.AppendValue(data, v.Value); err != nil {
			return Record{}, fmt.Errorf("value of property %q: %w", v.Name, err)
		}
	}
	return Record{Thing: thing, Key: foldKey(vals), Time: now.UnixMilli(), Data: data}, nil
}

func foldKey(vals []alwayson.PropertyValue) string {
	if len(vals) == 1 {
		return vals[0].Name
	}
	names := make([]string, len(vals))
	size := 0
	for i := range vals {
		names[i] = vals[i].Name
		size += len(names[i]) + 1
	}
	if size > maxFoldKey {
		return ""
	}
	sort.Strings(names)
	return strings.Join(names, "\x00")
}

func encodeEvent(e *mapping.Event, now time.Time) (Record, error) {
	data := appendText([]byte{recordEvent}, e.Name)
	data = binary.AppendVarint(data, e.Time.UnixMilli())
	if e.Data == nil {
		data = append(data, 0)
	} else {
		var err error
		if data, err = alwayson.AppendValue(append(data, 1), alwayson.NewTable(e.Data)); err != nil {
			return Record{}, fmt.Errorf("data of event %q: %w", e.Name, err)
		}
	}
	return Record{Thing: e.Thing, Time: now.UnixMilli(), Data: data}, nil
}

func encodeRaw(thing string, in *mapping.Input) Record {
	data := make([]byte, 1, len(in.Topic)+len(in.Payload)+16)
	data[0] = recordRaw
	data = appendText(data, in.Topic)
	data = binary.AppendVarint(data, in.Now.UnixMilli())
	data = append(data, boolByte(in.Retained))
	return Record{Thing: thing, Time: in.Now.UnixMilli(), Data: append(data, in.Payload...)}
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// reader takes a record's data apart; the first thing that does not fit makes
// every later read fail.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.b, r.err = nil, errBadRecord
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) value() alwayson.Value {
	if r.err != nil {
		return alwayson.Value{}
	}
	v, n, err := alwayson.ParseValue(r.b, alwayson.Limits{})
	if err != nil {
		r.fail()
		return alwayson.Value{}
	}
	r.b = r.b[n:]
	return v
}

// decodeValues reads a values record. name makes a string of a property's
// name, so that known names need not be allocated again.
func decodeValues(dst []alwayson.PropertyValue, data []byte, name func([]byte) string) ([]alwayson.PropertyValue, error) {
	r := reader{b: data[1:]}
	n := r.uvarint()
	const least = 4 // bytes of a value: lengths of name and quality, time, type
	dst = slices.Grow(dst, int(min(n, uint64(len(r.b)/least))))
	for ; n > 0 && r.err == nil; n-- {
		v := alwayson.PropertyValue{Name: name(r.bytes()), Time: r.varint(), Quality: alwayson.QualityGood}
		if q := r.bytes(); len(q) > 0 {
			v.Quality = string(q)
		}
		v.Value = r.value()
		if r.err == nil {
			dst = append(dst, v)
		}
	}
	return dst, r.err
}

func decodeEvent(thing string, data []byte) (*mapping.Event, error) {
	r := reader{b: data[1:]}
	e := &mapping.Event{Thing: thing, Name: string(r.bytes()), Time: time.UnixMilli(r.varint())}
	if r.byte() == 1 {
		e.Data = r.value().Table()
	}
	return e, r.err
}

func decodeRaw(data []byte) (*mapping.Input, error) {
	r := reader{b: data[1:]}
	in := &mapping.Input{Topic: string(r.bytes()), Now: time.UnixMilli(r.varint()), Retained: r.byte() == 1}
	in.Payload = r.b
	return in, r.err
}
