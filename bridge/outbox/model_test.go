package outbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"thingbridge/bridge"
)

// model is an outbox without any cleverness.
type model struct {
	recs     []bridge.Record // kept, in order
	replaced []uint64        // in the order in which they were
	max      int64
	fold     bool
}

func (m *model) append(r bridge.Record) {
	if r.Key != "" {
		for _, old := range slices.Backward(m.recs) {
			if old.Thing == r.Thing && old.Key == r.Key {
				m.replaced = append(m.replaced, old.Seq)
				break
			}
		}
	}
	m.recs = append(m.recs, r)
}

// trim applies the bound, as it stands after a whole Append.
func (m *model) trim() {
	for m.bytes() > m.max {
		if !m.fold || !m.dropReplaced() {
			m.dropOldest()
		}
	}
}

func (m *model) dropOldest() {
	weight := map[string]int64{}
	for _, r := range m.recs {
		weight[r.Thing] += recordSize(r.Thing, r.Key, r.Data)
	}
	for i, r := range m.recs {
		if float64(weight[r.Thing]) > 1.5*float64(m.bytes())/float64(len(weight)) {
			m.recs = slices.Delete(m.recs, i, i+1)
			return
		}
	}
	m.recs = m.recs[1:]
}

func (m *model) dropReplaced() bool {
	for len(m.replaced) > 0 {
		seq := m.replaced[0]
		m.replaced = m.replaced[1:]
		if i := slices.IndexFunc(m.recs, func(r bridge.Record) bool { return r.Seq == seq }); i >= 0 {
			m.recs = slices.Delete(m.recs, i, i+1)
			return true
		}
	}
	return false
}

// forget leaves out what is not there any more: numbers of records that were
// never written are given again after a restart.
func (m *model) forget() {
	m.replaced = slices.DeleteFunc(m.replaced, func(seq uint64) bool {
		return !slices.ContainsFunc(m.recs, func(r bridge.Record) bool { return r.Seq == seq })
	})
}

func (m *model) done(thing string, seq uint64) {
	m.recs = slices.DeleteFunc(m.recs, func(r bridge.Record) bool { return r.Thing == thing && r.Seq <= seq })
}

func (m *model) bytes() (n int64) {
	for _, r := range m.recs {
		n += recordSize(r.Thing, r.Key, r.Data)
	}
	return n
}

func (m *model) peek(thing string, after uint64, max, maxBytes int) (out []string) {
	bytes := 0
	for _, r := range m.recs {
		if r.Thing != thing || r.Seq <= after {
			continue
		}
		bytes += len(r.Data) + len(r.Key)
		if len(out) == max || len(out) > 0 && bytes > maxBytes {
			break
		}
		out = append(out, fmt.Sprintf("%d %s %s", r.Seq, r.Key, r.Data))
	}
	return out
}

func checkAgainst(t *rapid.T, m *model, o bridge.Outbox, after uint64, max, maxBytes int) {
	total := 0
	for _, thing := range modelThings {
		recs, err := o.Peek(thing, after, max, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range recs {
			got = append(got, fmt.Sprintf("%d %s %s", r.Seq, r.Key, r.Data))
		}
		if want := m.peek(thing, after, max, maxBytes); !slices.Equal(got, want) {
			t.Fatalf("%s after %d, %d records, %d bytes: %q; want %q", thing, after, max, maxBytes, got, want)
		}
		n, _, _ := o.Depth(thing)
		if all := len(m.peek(thing, 0, 1<<20, 1<<30)); n != all {
			t.Fatalf("%s has %d; want %d", thing, n, all)
		}
		total += n
	}
	if n, bytes, _ := o.Depth(""); n != total || bytes != m.bytes() {
		t.Fatalf("depth %d records of %d bytes; want %d of %d", n, bytes, total, m.bytes())
	}
}

var modelThings = []string{"a", "b", "c"}

func TestAnOutboxDoesWhatItsModelDoes(t *testing.T) {
	dir, round := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{
			MaxBytes:   rapid.Int64Range(200, 3000).Draw(t, "max bytes"),
			WhenFull:   rapid.SampledFrom([]Policy{DropOldest, Fold}).Draw(t, "when full"),
			CacheBytes: rapid.Int64Range(1, 2000).Draw(t, "cache"),
		}
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		open := func() anOutbox {
			d, err := OpenDisk(path, opt)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		inMemory := rapid.Bool().Draw(t, "in memory")
		if inMemory {
			open = func() anOutbox {
				m, err := NewMemory(opt)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
		}
		o := open()
		defer func() { _ = o.Close() }()
		m := &model{max: opt.MaxBytes, fold: opt.WhenFull == Fold}
		wait := func() {}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				recs := make([]bridge.Record, rapid.IntRange(1, 4).Draw(t, "n"))
				for i := range recs {
					recs[i] = rec(rapid.SampledFrom(modelThings).Draw(t, "thing"), rapid.SampledFrom([]string{"", "p", "q"}).Draw(t, "key"),
						strings.Repeat("x", rapid.IntRange(0, 150).Draw(t, "size")))
				}
				kept := make(chan error, 1)
				o.Append(recs, func(err error) { kept <- err })
				for _, r := range recs {
					m.append(r)
				}
				m.trim()
				wait = func() {
					if err := <-kept; err != nil {
						t.Fatalf("kept(%v)", err)
					}
					wait = func() {}
				}
				if !inMemory && rapid.Bool().Draw(t, "wait") {
					wait()
				}
			},
			"done": func(t *rapid.T) {
				if len(m.recs) == 0 {
					t.Skip()
				}
				r := m.recs[rapid.IntRange(0, len(m.recs)-1).Draw(t, "record")]
				o.Done(r.Thing, r.Seq)
				m.done(r.Thing, r.Seq)
			},
			"drop": func(t *rapid.T) {
				thing := rapid.SampledFrom(modelThings).Draw(t, "thing")
				o.Drop(thing)
				m.done(thing, ^uint64(0))
			},
			"reopen": func(t *rapid.T) {
				if inMemory {
					t.Skip()
				}
				if err := o.Close(); err != nil {
					t.Fatal(err)
				}
				wait()
				o = open()
				m.forget()
			},
			"": func(t *rapid.T) {
				after := rapid.Uint64Range(0, 40).Draw(t, "after")
				checkAgainst(t, m, o, after, rapid.IntRange(0, 10).Draw(t, "max"), rapid.IntRange(0, 500).Draw(t, "max bytes"))
			},
		})
	})
}
