package mapping

import (
	"flag"
	"testing"
)

// Seeded reports whether the i-th of n seeds is added: each in a test, some forty
// while a target is fuzzed, where their coverage is gathered before anything else and
// hundreds take longer than the whole of a short run.
func Seeded(i, n int) bool {
	return flag.Lookup("test.fuzz").Value.String() == "" || i%(1+n/40) == 0
}

// FuzzFormats hands any bytes to each payload format under each encoding: what
// comes out is of the plain kinds, within the limits, and can be written as JSON.
func FuzzFormats(f *testing.F) {
	payloads := append([]string{
		"\xa1aa\x01", "\xbf\x61a\x9f\x01\xff\xff", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\x81\xa1a\x93\x01\x02\x03",
		"\xc7\x0c\xff\x00", "\xf9\x7e\x00", "\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\xd8\x20\x61a",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xaa\x56\x4a\x54\xb2\x32\xac\x05\x00", "x\x9c\xabVJT\xb22\xac\x05\x00", "NaN", "1e999", "\xff\x00",
	}, payloadSeeds...)
	names := formatNames()
	ways := 3 * len(names)
	for i := range len(payloads) * ways {
		if Seeded(i, len(payloads)*ways) {
			f.Add([]byte(payloads[i/ways]), uint8(i%ways))
		}
	}
	lim := Limits{PayloadBytes: 4096, ListItems: 100}.filled()
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		if len(b) > lim.PayloadBytes {
			return
		}
		format := names[int(which)%len(names)]
		encoding := []string{"", "gzip", "deflate"}[int(which)/len(names)%3]
		m := &message{}
		m.read(&Input{Topic: "t", Payload: b}, format, encoding, lim)
		if m.err != nil {
			payloadReason(m.err)
			return
		}
		v := m.whole()
		checkPlain(t, format, v, lim.ListItems, 0)
		if out := appendAny(nil, v); scanJSON(out, 1<<30) != nil {
			t.Fatalf("%s of %q became %q", format, b, out)
		}
		Infer(v)
	})
}

func checkPlain(t *testing.T, format string, v any, items, depth int) {
	t.Helper()
	if depth > maxDepth+1 {
		t.Fatalf("%s: deeper than %d", format, maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int, float64, string, []byte:
	case []any:
		if len(v) > items {
			t.Fatalf("%s: a list of %d", format, len(v))
		}
		for _, item := range v {
			checkPlain(t, format, item, items, depth+1)
		}
	case map[string]any:
		for _, item := range v {
			checkPlain(t, format, item, items, depth+1)
		}
	default:
		t.Fatalf("%s: a %T", format, v)
	}
}
