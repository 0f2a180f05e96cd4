package outbox

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/bridge"
)

func ignore(error) {}

func TestRecordsComeOutInOrderPerThing(t *testing.T) {
	bothModes(t, Options{}, func(t *testing.T, o anOutbox) {
		first := []bridge.Record{rec("a", "", "1"), rec("b", "", "2"), rec("a", "", "3")}
		o.Append(first, ignore)
		o.Append([]bridge.Record{rec("a", "", "4")}, ignore)
		if seqs := []uint64{first[0].Seq, first[1].Seq, first[2].Seq}; !slices.Equal(seqs, []uint64{1, 2, 3}) {
			t.Fatalf("sequence numbers %v", seqs)
		}
		wantTexts(t, o, "a", "1", "3", "4")
		wantTexts(t, o, "b", "2")
		wantTexts(t, o, "c")
		if got := o.Things(); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("things %q", got)
		}
		o.Done("a", 2) // not a's record: only what is before it goes
		wantTexts(t, o, "a", "3", "4")
		wantTexts(t, o, "b", "2")
		o.Drop("b")
		wantTexts(t, o, "b")
		o.Done("a", 4)
		if n, bytes, oldest := o.Depth(""); n != 0 || bytes != 0 || !oldest.IsZero() {
			t.Fatalf("depth %d, %d bytes, %v", n, bytes, oldest)
		}
	})
}

func TestPeekIsBoundedInRecordsAndBytes(t *testing.T) {
	cases := map[string]struct {
		after         uint64
		max, maxBytes int
		want          []string
	}{
		"by records":                          {0, 2, 1000, []string{"aaaa", "bbbb"}},
		"by bytes":                            {0, 9, 8, []string{"aaaa", "bbbb"}},
		"the first comes even when too large": {0, 9, 1, []string{"aaaa"}},
		"after a number":                      {2, 9, 1000, []string{"cccc"}},
		"after the last":                      {3, 9, 1000, nil},
		"none wanted":                         {0, 0, 1000, nil},
	}
	bothModes(t, Options{}, func(t *testing.T, o anOutbox) {
		for _, s := range []string{"aaaa", "bbbb", "cccc"} {
			o.Append([]bridge.Record{rec("thing", "", s)}, ignore)
		}
		for name, c := range cases {
			recs, err := o.Peek("thing", c.after, c.max, c.maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range recs {
				got = append(got, string(r.Data))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q; want %q", name, got, c.want)
			}
		}
	})
}

func TestTheOldestOfAllThingsGoesWhenFull(t *testing.T) {
	var dropped dropCount
	opt := Options{MaxBytes: 3 * recordSize("a", "", []byte("x")), OnDrop: dropped.add}
	bothModes(t, opt, func(t *testing.T, o anOutbox) {
		dropped.n = nil
		kept := make(chan error, 5)
		for _, r := range []bridge.Record{rec("a", "", "1"), rec("b", "", "2"), rec("a", "", "3"), rec("a", "", "4"), rec("a", "", "5")} {
			o.Append([]bridge.Record{r}, func(err error) { kept <- err })
		}
		wantTexts(t, o, "a", "3", "4", "5")
		wantTexts(t, o, "b")
		dropped.want(t, map[string]int{"full a": 1, "full b": 1})
		for range 2 {
			if err := <-kept; err != nil {
				t.Fatalf("what was dropped is kept(%v); want it acknowledged", err)
			}
		}
		if s := o.Status(); s.Dropped[ReasonFull] != 2 || s.Bytes > s.MaxBytes {
			t.Fatalf("status %+v", s)
		}
	})
}

func TestARecordLargerThanTheOutboxIsDroppedAndCounted(t *testing.T) {
	var dropped dropCount
	bothModes(t, Options{MaxBytes: 100, OnDrop: dropped.add}, func(t *testing.T, o anOutbox) {
		dropped.n = nil
		appendKept(t, o, rec("a", "", strings.Repeat("x", 200)))
		wantTexts(t, o, "a")
		dropped.want(t, map[string]int{"full a": 1})
	})
}

func TestFoldingKeepsTheNewestOfEachKey(t *testing.T) {
	var dropped dropCount
	opt := Options{MaxBytes: 4 * recordSize("a", "k", []byte("x")), WhenFull: Fold, OnDrop: dropped.add}
	bothModes(t, opt, func(t *testing.T, o anOutbox) {
		dropped.n = nil
		for _, r := range []bridge.Record{
			rec("a", "p", "1"), rec("a", "q", "2"), rec("b", "p", "3"), rec("a", "p", "4"),
			rec("a", "p", "5"), rec("a", "p", "6"), // 1 and 4 go: 5 and 6 have replaced them
			rec("b", "p", "7"), // 5 goes: it was replaced before 3
			rec("b", "q", "8"), // 3 goes: 7 has replaced it
		} {
			o.Append([]bridge.Record{r}, ignore)
		}
		wantTexts(t, o, "a", "2", "6")
		wantTexts(t, o, "b", "7", "8")
		o.Append([]bridge.Record{rec("c", "p", "9")}, ignore) // nothing is replaced: the oldest goes
		wantTexts(t, o, "a", "6")
		wantTexts(t, o, "c", "9")
		dropped.want(t, map[string]int{"folded a": 3, "folded b": 1, "full a": 1})
	})
}

func TestRecordsWithoutAKeyDoNotFold(t *testing.T) {
	opt := Options{MaxBytes: 2 * recordSize("a", "", []byte("x")), WhenFull: Fold}
	bothModes(t, opt, func(t *testing.T, o anOutbox) {
		for _, s := range []string{"1", "2", "3"} {
			o.Append([]bridge.Record{rec("a", "", s)}, ignore)
		}
		wantTexts(t, o, "a", "2", "3")
		if got := o.Status().Dropped; got[ReasonFull] != 1 || got[ReasonFolded] != 0 {
			t.Fatalf("dropped %v", got)
		}
	})
}

func TestOldRecordsExpire(t *testing.T) {
	for _, mode := range []string{"disk", "memory"} {
		t.Run(mode, func(t *testing.T) {
			path := tempFile(t)
			synctest.Test(t, func(t *testing.T) {
				var dropped dropCount
				opt := Options{MaxAge: time.Hour, OnDrop: dropped.add}
				var o anOutbox
				if mode == "disk" {
					o = openDisk(t, path, opt)
				} else {
					o = newMemory(t, opt)
				}
				kept := make(chan error, 2)
				o.Append([]bridge.Record{rec("a", "", "old")}, func(err error) { kept <- err })
				time.Sleep(50 * time.Minute)
				o.Append([]bridge.Record{rec("a", "", "new"), rec("b", "", "new")}, ignore)
				time.Sleep(20 * time.Minute)
				wantTexts(t, o, "a", "new")
				dropped.want(t, map[string]int{"expired a": 1})
				if err := <-kept; err != nil {
					t.Fatalf("kept(%v)", err)
				}
				time.Sleep(time.Hour)
				if got := o.Things(); len(got) != 0 {
					t.Fatalf("things %q", got)
				}
				dropped.want(t, map[string]int{"expired a": 2, "expired b": 1})
			})
		})
	}
}

func TestMetricsFollowTheState(t *testing.T) {
	reg := prometheus.NewRegistry()
	d := openDisk(t, tempFile(t), Options{MaxBytes: 2 * recordSize("a", "", []byte("x")), Registerer: reg})
	for _, s := range []string{"1", "2", "3"} {
		appendKept(t, d, rec("a", "", s))
	}
	want := map[string]float64{
		"thingbridge_outbox_appended_total": 3, "thingbridge_outbox_records": 2, "thingbridge_outbox_failing": 0,
		"thingbridge_outbox_dropped_total full": 1, "thingbridge_outbox_dropped_total expired": 0,
	}
	got := gather(t, reg)
	for name, v := range want {
		if have, ok := got[name]; !ok || have != v {
			t.Errorf("%s is %v, %v; want %v", name, have, ok, v)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := gather(t, reg); len(got) != 0 {
		t.Fatalf("after Close there is %v", got)
	}
}

// gather reads counters and gauges, by name and label value.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, opt := range map[string]Options{
		"an unknown policy": {WhenFull: "newest"},
		"a negative bound":  {MaxBytes: -1},
	} {
		path := tempFile(t)
		if _, err := OpenDisk(path, opt); err == nil {
			t.Errorf("%s: opened", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was made", name)
		}
		if _, err := NewMemory(opt); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func TestAfterCloseNothingIsTaken(t *testing.T) {
	bothModes(t, Options{}, func(t *testing.T, o anOutbox) {
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if err := appendErr(o, rec("a", "", "1")); !errors.Is(err, ErrClosed) {
			t.Fatalf("kept(%v)", err)
		}
		if _, err := o.Peek("a", 0, 1, 1); !errors.Is(err, ErrClosed) {
			t.Fatalf("peek: %v", err)
		}
		o.Done("a", 1)
		if err := o.Close(); err != nil {
			t.Fatalf("second close: %v", err)
		}
	})
}
