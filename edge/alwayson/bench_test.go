package alwayson

import "testing"

func fiveValues() []PropertyValue {
	var vals []PropertyValue
	for _, name := range []string{"Temperature", "Pressure", "Running", "Mode", "Speed"} {
		vals = append(vals, PropertyValue{name, NewNumber(21.5), 1577836800123, QualityGood})
	}
	return vals
}

func benchMessages() map[string]*Message {
	h := Header{Code: Post, RequestID: 1, SessionID: 7}
	call := ServiceRequest(EntityThing, "Thing1", "SetPoint", OneRow(
		Named{"name", NewString("pressure")}, Named{"value", NewNumber(4.5)}, Named{"when", NewDateTime(1577836800123)}))
	return map[string]*Message{
		"push of 5 values":    {h, PushRequest("Thing1", fiveValues())},
		"request of 3 inputs": {h, call},
		"response":            {Header{Code: Success, RequestID: 1, SessionID: 7}, OK(NewTable(NewResult(NewString("a result of some length"))))},
	}
}

// allocations are the most that decoding each bench message may do.
var allocations = map[string]float64{"push of 5 values": 10, "request of 3 inputs": 5, "response": 5}

func TestFewAllocations(t *testing.T) {
	for name, m := range benchMessages() {
		b := message(t, m.Code, 1, m.Body)
		if n := testing.AllocsPerRun(100, func() { b, _ = Append(b[:0], m) }); n != 0 {
			t.Errorf("%s: encoding into a slice with room allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _, _, _ = Parse(b, Limits{}) }); n > allocations[name] {
			t.Errorf("%s: decoding allocates %v times, want at most %v", name, n, allocations[name])
		}
	}
	var f PushFilter
	v := fiveValues()[0]
	if n := testing.AllocsPerRun(100, func() {
		f.Decide(Subscription{"p", PushDeadband, 1}, v)
		f.Sent(v)
	}); n != 0 {
		t.Errorf("a push decision allocates %v times", n)
	}
	m := message(t, Success, 1, OK(NewString("x")))
	r := NewReassembler(ReassemblerOptions{})
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Add(epoch, m) }); n != 0 {
		t.Errorf("a whole message through the Reassembler allocates %v times", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, m := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = Append(dst[:0], m)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, m := range benchMessages() {
		in := message(b, m.Code, 1, m.Body)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, _, err := Parse(in, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPushRequest(b *testing.B) {
	vals := fiveValues()
	b.ReportAllocs()
	for b.Loop() {
		PushRequest("Thing1", vals)
	}
}

func BenchmarkPushFilter(b *testing.B) {
	vals := fiveValues()
	var f PushFilter
	b.ReportAllocs()
	for b.Loop() {
		f.Decide(Subscription{"p", PushDeadband, 1}, vals[0])
	}
}

func BenchmarkReassemble(b *testing.B) {
	chunks := chunksOf(b, message(b, Post, 1, echo("Thing1", 20000)), 8192)
	r := NewReassembler(ReassemblerOptions{})
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range chunks {
			if _, err := r.Add(epoch, c); err != nil {
				b.Fatal(err)
			}
		}
	}
}
