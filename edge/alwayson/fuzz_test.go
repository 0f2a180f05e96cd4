package alwayson

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func seedMessages(f *testing.F) {
	for _, v := range loadVectors(f) {
		switch {
		case v.Kind == "message" && v.Hex != "" && len(v.Hex) < 4000:
			f.Add(unhex(f, v.Hex))
		case v.Kind == "primitive" && len(v.Hex) < 4000:
			f.Add(append(unhex(f, "0140000000010000000001020304"+"0000"), unhex(f, v.Hex)...))
		}
	}
	f.Add(post(requestStart, nestedTables(16)))
}

// FuzzParse: what can be decoded can be encoded, means the same when decoded
// again, and is then encoded the same (a fix-point).
func FuzzParse(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		kept := bytes.Clone(in)
		m, rest, err := Parse(in, Limits{})
		if !bytes.Equal(in, kept) {
			t.Fatal("input changed")
		}
		var de *DecodeError
		if err != nil {
			if !errors.As(err, &de) || de.Offset < 0 || de.Offset > len(in) {
				t.Fatalf("error %v for %d bytes", err, len(in))
			}
			return
		}
		if rest < 0 || rest > len(in)-headerSize {
			t.Fatalf("rest %d of %d bytes", rest, len(in))
		}
		clear(in) // nothing decoded may refer to it
		once, err := Append(nil, &m)
		if errors.Is(err, ErrBadType) || errors.Is(err, ErrBadBody) {
			return // a field of type TIMESPAN, an unknown method: read, never written
		}
		if err != nil {
			t.Fatal(err)
		}
		m2, rest, err := Parse(once, Limits{})
		if err != nil || rest != 0 {
			t.Fatalf("decoding what was encoded: rest %d, err %v", rest, err)
		}
		if m.Header != m2.Header || !sameBody(m.Body, m2.Body) {
			t.Fatalf("%+v became %+v", m, m2)
		}
		twice, err := Append(nil, &m2)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encoded %x, then %x, err %v", once, twice, err)
		}
	})
}

// FuzzReassembler feeds messages cut at every 0xFE 0xEF, and checks the
// bookkeeping after each.
func FuzzReassembler(f *testing.F) {
	split := []byte{0xFE, 0xEF}
	for _, m := range [][]byte{message(f, Post, 1, echo("Thing1", 2000)), message(f, Success, 1, OK(NewString("x"))), message(f, BindCode, 2, &Bind{Names: make([]string, 1500)})} {
		f.Add(bytes.Join(chunksOf(f, m, 600), split))
	}
	f.Add(bytes.Join([][]byte{rawChunk(Post, 1, 2, 65535, 0, "\x0a\x00a"), rawChunk(Post, 1, 1, 65535, 0, "a"), rawChunk(Post, 1, 0, 0, 0, "")}, split))
	f.Fuzz(func(t *testing.T, in []byte) {
		opts := ReassemblerOptions{MaxMessage: 4096, MaxPending: 8192, MaxSets: 4, Timeout: time.Second}
		r := NewReassembler(opts)
		now := epoch
		for _, b := range bytes.Split(in, split) {
			now = now.Add(50 * time.Millisecond)
			got, err := r.Add(now, b)
			if err != nil && got.Done || len(got.Body) > opts.MaxMessage {
				t.Fatalf("%+v, err %v", got, err)
			}
			r.Expire(now)
			checkBooks(t, r)
		}
		r.Expire(now.Add(opts.Timeout))
		if sets, n := r.Pending(); sets != 0 || n != 0 {
			t.Fatalf("%d sets, %d bytes left after the timeout", sets, n)
		}
	})
}

// checkBooks compares the counted bytes with what is really there.
func checkBooks(t *testing.T, r *Reassembler) {
	t.Helper()
	sum := 0
	for _, s := range r.sets {
		have := len(s.body)
		for _, share := range s.early {
			have += len(share)
		}
		if have != s.bytes || s.next+len(s.early) != s.chunks+1 || s.cost < have {
			t.Fatalf("set %+v holds %d bytes", s, have)
		}
		sum += s.cost
	}
	if sum != r.pending || sum > r.opts.MaxPending || len(r.sets) > r.opts.MaxSets || len(r.past.ring) > maxPast {
		t.Fatalf("%d sets of %d bytes, %d counted", len(r.sets), sum, r.pending)
	}
}

// FuzzMetadata: what is read can be written, and written once more it is the same.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(pumpJSON))
	f.Add([]byte(`{"propertyDefinitions":{"a":{"baseType":"x"},"a":{}},"serviceDefinitions":null}`))
	for _, v := range loadVectors(f) {
		if v.Name == "msg_handler_response_GetMetadata" {
			m, _, _ := Parse(unhex(f, v.Hex), Limits{})
			f.Add([]byte(Result(m.Body.(*Response).Content, "result").Text()))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ParseMetadata(in)
		if err != nil {
			return
		}
		once := m.JSON()
		m, err = ParseMetadata(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice := m.JSON(); !bytes.Equal(once, twice) {
			t.Fatalf("written %s, then %s", once, twice)
		}
	})
}

// FuzzSubscriptions: any table gives subscriptions with a name and a finite threshold.
func FuzzSubscriptions(f *testing.F) {
	for _, v := range loadVectors(f) {
		if v.Kind == "infotable" && len(v.Hex) < 4000 {
			f.Add(unhex(f, v.Hex))
		}
	}
	table := &InfoTable{
		Fields: []Field{{Name: "edgeName"}, {Name: "pushType"}, {Name: "pushThreshold", Type: TypeNumber}},
		Rows:   [][]Value{{NewString("a"), NewString("DEADBAND"), NewNumber(0.5)}, {NewString("b"), NewString("NEVER"), NewString("-1e400")}},
	}
	b, err := AppendTable(nil, table)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		table, _, err := ParseTable(in, Limits{})
		if err != nil {
			return
		}
		subs, err := SubscriptionsFromTable(table)
		if err != nil && !errors.Is(err, ErrNoColumn) {
			t.Fatal(err)
		}
		for _, s := range subs {
			if s.EdgeName == "" || !(s.Threshold >= 0) || s.Threshold-s.Threshold != 0 || s.Push > PushDeadband {
				t.Fatalf("%+v", s)
			}
			var filter PushFilter
			v := PropertyValue{Name: s.EdgeName, Value: NewNumber(1)}
			if filter.Decide(s, v) != (s.Push != PushNever) {
				t.Fatalf("%+v: first value", s)
			}
		}
	})
}
