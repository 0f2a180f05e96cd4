package sparkplug_test

import (
	"bytes"
	"flag"
	"fmt"
	"testing"
	"time"

	"thingbridge/mapping"
	_ "thingbridge/mapping/presets"
	"thingbridge/mapping/sparkplug"
)

// seeds are payloads of every kind, and damaged ones.
func seeds(t testing.TB) [][]byte {
	at := 1767323045000
	birth := wire(t, object{"timestamp": at, "seq": 0, "metrics": []any{
		object{"name": "bdSeq", "datatype": 4, "long": 3}, object{"name": "Node Control/Rebirth", "datatype": 11, "boolean": false},
		object{"name": "a/b", "alias": 1, "datatype": 9, "float": float32(1.5), "properties": object{"keys": []any{"engUnit"}, "values": []any{object{"type": 12, "string": "bar"}}}},
		object{"name": "t", "alias": 2, "datatype": 16, "dataset": object{"num_of_columns": 1, "columns": []any{"n"}, "types": []any{3}, "rows": []any{object{"elements": []any{object{"int": 1}}}}}},
		object{"name": "m", "datatype": 19, "template": object{"template_ref": "M", "metrics": []any{object{"name": "rpm", "datatype": 3, "int": 1}}}}}})
	data := wire(t, object{"timestamp": at, "seq": 1, "metrics": []any{object{"alias": 1, "float": float32(2)}, object{"name": "a/b", "is_historical": true, "float": float32(1)}, object{"alias": 9, "int": 1}}})
	out := [][]byte{birth, data, packed(t, data), wire(t, object{"metrics": []any{object{"name": "bdSeq", "datatype": 4, "long": 3}}}), nil, {0x12, 0xff}}
	for _, v := range values {
		out = append(out, wire(t, object{"seq": 2, "metrics": []any{object{"name": "v", "datatype": int(v.kind), v.field: v.wire}}}))
	}
	return out
}

// FuzzPayload: any bytes are read or refused, and what was read is written so that
// it is read again as the same.
func FuzzPayload(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Add(wire(f, object{"metrics": []any{object{"name": "tiny", "datatype": 9, "double": 1.4e-76}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sparkplug.Parse(b)
		if err != nil {
			return
		}
		again, err := sparkplug.Parse(p.Append(nil))
		if err != nil || len(again.Metrics) != len(p.Metrics) {
			t.Fatalf("written anew it is %v: %v", again, err)
		}
		for i := range p.Metrics {
			m, n := &p.Metrics[i], &again.Metrics[i]
			v, err1 := m.Plain(sparkplug.Unknown)
			w, err2 := n.Plain(sparkplug.Unknown)
			if fmt.Sprint(v) != fmt.Sprint(w) || (err1 == nil) != (err2 == nil) || m.Name != n.Name || m.Type != n.Type {
				t.Fatalf("%v %v became %v %v", v, err1, w, err2)
			}
			m.Properties()
			made, err := sparkplug.NewMetric("x", m.Type, v)
			if err != nil || v == nil {
				continue
			}
			if f, ok := v.(float64); ok && m.Type == sparkplug.Float {
				v = mapping.SingleNumber(float32(f)) // a double came in its place
			}
			if u, err := made.Plain(sparkplug.Unknown); err != nil || fmt.Sprint(u) != fmt.Sprint(v) {
				t.Fatalf("%s %v is sent as %v: %v", m.Type, v, u, err)
			}
		}
		_ = p.String()
	})
}

// FuzzSession hands three messages of any kind to a session and its rules: nothing
// fails, what is passed on can be read, and time lets go of what waited.
func FuzzSession(f *testing.F) {
	all := seeds(f)
	for i := range 8 * len(all) {
		if seeded(i, 8*len(all)) {
			f.Add(byte(i%8), all[0], all[i/8], all[(i/8+1)%len(all)])
		}
	}
	engine := presetEngine(f)
	kinds := []string{"NBIRTH/n", "DBIRTH/n/d", "NDATA/n", "DDATA/n/d", "NDEATH/n", "DDEATH/n/d"}
	f.Fuzz(func(t *testing.T, order byte, a, b, c []byte) {
		s := engine().Sessions()
		now := time.UnixMilli(1767323045000)
		e := engine()
		take := func(turn *mapping.Turn) {
			for _, step := range turn.Steps {
				if step.Input == nil {
					continue
				}
				if _, err := sparkplug.Parse(step.Input.Payload); err != nil {
					t.Fatalf("%s %x: %v", step.Input.Topic, step.Input.Payload, err)
				}
				for _, eff := range e.Handle(step.Input, nil) {
					switch eff := eff.(type) {
					case *mapping.Announced:
						_, _ = e.Put(eff.Device)
					case *mapping.Unclaimed:
						t.Fatalf("%s is of a device that is not announced", step.Input.Topic)
					}
				}
			}
			for _, q := range turn.Send {
				if p, err := sparkplug.Parse(q.Payload); err != nil || !bytes.HasPrefix([]byte(q.Topic), []byte("spBv1.0/g/NCMD/")) || len(p.Metrics) != 1 {
					t.Fatalf("sent %s %v %v", q.Topic, p, err)
				}
			}
		}
		for i, payload := range [][]byte{a, b, c, a} {
			kind := kinds[(int(order)>>i+i)%len(kinds)]
			if i == 0 {
				kind = kinds[0]
			}
			turn := mapping.Turn{Now: now}
			if !s.Message(&mapping.Input{Topic: "spBv1.0/g/" + kind, Payload: payload, Now: now}, &turn) {
				t.Fatalf("nobody takes %s", kind)
			}
			take(&turn)
			now = now.Add(100 * time.Millisecond)
		}
		for _, step := range []func(*mapping.Turn){s.Elapsed, s.Disconnected, func(turn *mapping.Turn) { s.Connected(false, turn) }, s.Elapsed} {
			now = now.Add(time.Minute)
			turn := mapping.Turn{Now: now}
			step(&turn)
			take(&turn)
		}
	})
}

// seeded reports whether the i-th of n seeds is added: each in a test, some forty
// while a target is fuzzed, where their coverage is gathered before anything else and
// hundreds take longer than the whole of a short run.
func seeded(i, n int) bool {
	return flag.Lookup("test.fuzz").Value.String() == "" || i%(1+n/40) == 0
}
