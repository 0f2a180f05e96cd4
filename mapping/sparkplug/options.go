package sparkplug

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"thingbridge/mapping"
)

// options are the preset's parameters.
type options struct {
	namespace      string
	prefix         string
	uint64AsNumber bool
	writes         bool
	reorder        time.Duration // how long a message that is ahead waits for those before it
	rebirth        time.Duration // between two requests for the births of one node
	grace          time.Duration // what a node has to come back with its devices
}

// optionsOf reads the parameters; one that is not there has its default.
func optionsOf(params map[string]any) (options, error) {
	o := options{namespace: "spBv1.0", writes: true, reorder: 2 * time.Second, rebirth: 5 * time.Second, grace: 30 * time.Second}
	var errs []error
	if s, ok := params["namespace"].(string); ok {
		if o.namespace = s; s == "" || strings.ContainsAny(s, "/+#\x00") {
			errs = append(errs, fmt.Errorf("namespace %q: expected one level of a topic, such as spBv1.0", s))
		}
	}
	o.prefix, _ = params["prefix"].(string)
	if b, ok := params["writes"].(bool); ok {
		o.writes = b
	}
	switch s, _ := params["uint64"].(string); s {
	case "", "STRING":
	case "NUMBER":
		o.uint64AsNumber = true
	default:
		errs = append(errs, fmt.Errorf("uint64 %q: expected STRING (exact) or NUMBER (over 2^53 the last digits are lost)", s))
	}
	for _, d := range []struct {
		key  string
		into *time.Duration
		low  time.Duration
	}{{"reorder_timeout", &o.reorder, 0}, {"rebirth_interval", &o.rebirth, time.Second}, {"rebirth_wait", &o.grace, time.Second}} {
		s, ok := params[d.key].(string)
		if !ok {
			continue
		}
		v, err := time.ParseDuration(s)
		if err != nil || v < d.low || v > time.Hour {
			errs = append(errs, fmt.Errorf("%s %q: expected a duration with its unit, from %s to 1h, such as %s", d.key, s, d.low, *d.into))
			continue
		}
		*d.into = v
	}
	return o, errors.Join(errs...)
}

// packedUUID marks a payload whose body holds the payload, packed.
const packedUUID = "SPBV1.0_COMPRESSED"

// unpacked gives the payload that is packed in p, or p.
func (p *Payload) unpacked(limit int) (*Payload, error) {
	if p.UUID != packedUUID {
		return p, nil
	}
	if limit <= 0 {
		limit = 1 << 20
	}
	algorithm := "DEFLATE"
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == "algorithm" && m.Value.field == fieldString {
			algorithm = strings.ToUpper(string(m.Value.bytes))
		}
	}
	var r io.Reader
	var err error
	switch algorithm {
	case "DEFLATE":
		r, err = zlib.NewReader(bytes.NewReader(p.Body))
	case "GZIP":
		r, err = gzip.NewReader(bytes.NewReader(p.Body))
	default:
		return nil, fmt.Errorf("packed by %q; DEFLATE and GZIP are known", cut(algorithm))
	}
	if err != nil {
		return nil, fmt.Errorf("not %s: %w", algorithm, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("not %s: %w", algorithm, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("unpacks to over %d bytes: %w", limit, mapping.ErrTooLarge)
	}
	inner, err := Parse(b)
	if err != nil {
		return nil, err
	}
	if inner.Seq == nil {
		inner.Seq = p.Seq
	}
	if inner.UUID == packedUUID {
		inner.UUID = "" // packed once
	}
	return inner, nil
}
