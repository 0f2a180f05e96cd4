package mapping

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/tidwall/gjson"
)

// Format decodes a payload to nil, bool, int, float64, string, []byte, []any
// and map[string]any. It must bear any bytes, keep to the limits, and be safe
// for concurrent use.
type Format func(payload []byte, lim Limits) (any, error)

var (
	formatsMu sync.RWMutex
	formats   = map[string]Format{
		"text":    decodeText,
		"number":  decodeNumber,
		"cbor":    decodeCBOR,
		"msgpack": decodeMsgpack,
		"raw":     func(b []byte, _ Limits) (any, error) { return bytes.Clone(b), nil },
	}
)

// RegisterFormat adds a payload format under a name. It panics when the name is
// taken. Call it from init only.
func RegisterFormat(name string, f Format) {
	formatsMu.Lock()
	defer formatsMu.Unlock()
	if name == "auto" || name == "json" || formats[name] != nil {
		panic("mapping: format " + name + " is registered twice")
	}
	formats[name] = f
}

func formatNames() []string {
	formatsMu.RLock()
	defer formatsMu.RUnlock()
	return append([]string{"auto", "json"}, sortedKeys(formats)...)
}

// message is one MQTT message under one format. It is decoded when an
// expression first asks for the whole of it.
type message struct {
	topic    string
	raw      []byte // unpacked; of the Input unless kept was called
	retained bool
	now      time.Time
	json     bool // raw is JSON that scanJSON accepted
	decoded  bool
	value    any
	err      error // the payload is not of the format
}

// read prepares m for a rule's format and encoding.
func (m *message) read(in *Input, format, encoding string, lim Limits) {
	*m = message{topic: in.Topic, raw: in.Payload, retained: in.Retained, now: in.Now}
	if encoding != "" {
		m.raw, m.err = unpack(in.Payload, encoding, lim.PayloadBytes)
		if m.err != nil {
			return
		}
	}
	switch format {
	case "auto", "":
		m.readAuto(lim)
	case "json":
		if m.err = scanJSON(m.raw, lim.ListItems); m.err == nil {
			m.json = true
		}
	default:
		formatsMu.RLock()
		f := formats[format]
		formatsMu.RUnlock()
		m.value, m.err = f(m.raw, lim)
		m.decoded = true
	}
}

func (m *message) readAuto(lim Limits) {
	switch err := scanJSON(m.raw, lim.ListItems); {
	case err == nil:
		m.json = true
	case errors.Is(err, errNotJSON):
		m.value, m.err = decodeText(m.raw, lim)
		m.decoded = true
	default:
		m.err = err
	}
}

// whole gives the decoded payload.
func (m *message) whole() any {
	if !m.decoded {
		m.decoded = true
		if m.json {
			m.value = decodeJSON(m.raw)
		}
	}
	return m.value
}

// at gives the member that a plain path names, without decoding the rest.
func (m *message) at(path []string, gpath string) any {
	if m.json && !m.decoded {
		if gpath != "" {
			if m.raw[0] == '[' {
				return nil
			}
			return fromResult(gjson.GetBytes(m.raw, gpath))
		}
	}
	v := m.whole()
	for _, key := range path {
		v = member(v, key)
	}
	return v
}

// keep makes m independent of the Input.
func (m *message) keep() *message {
	c := *m
	if !c.decoded || c.json {
		c.raw = bytes.Clone(c.raw)
	}
	return &c
}

func decodeText(b []byte, _ Limits) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("neither JSON nor UTF-8 text")
	}
	return strings.TrimSuffix(string(b), "\x00"), nil
}

func decodeNumber(b []byte, _ Limits) (any, error) {
	if len(b) <= 400 {
		if n := numericText(string(b)); n != nil {
			return n, nil
		}
	}
	return nil, errors.New("not a number")
}

var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: maxDepth,
		MaxArrayElements: 131072, MaxMapPairs: 131072,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func decodeCBOR(b []byte, lim Limits) (any, error) {
	if err := cborMode.Wellformed(b); err != nil {
		return nil, fmt.Errorf("not CBOR: %s", firstLine(err.Error()))
	}
	var v any
	if err := cborMode.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("not CBOR: %s", firstLine(err.Error()))
	}
	return normalise(v, lim.ListItems)
}

// unpack decompresses with a bound on what comes out.
func unpack(b []byte, encoding string, limit int) ([]byte, error) {
	var r io.Reader
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("not gzip: %s", err)
		}
		r = z
	case "deflate":
		if z, err := zlib.NewReader(bytes.NewReader(b)); err == nil {
			r = z
		} else {
			r = flate.NewReader(bytes.NewReader(b))
		}
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("not %s: %s", encoding, err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("unpacks to over %d bytes: %w", limit, ErrTooLarge)
	}
	return out, nil
}

// ErrTooLarge classes a payload fault of a Format as ReasonTooLarge.
var ErrTooLarge = errors.New("too large")

// payloadReason classes why a payload could not be read.
func payloadReason(err error) Reason {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, errListTooLong) || errors.Is(err, errDepth) {
		return ReasonTooLarge
	}
	return ReasonMalformed
}
