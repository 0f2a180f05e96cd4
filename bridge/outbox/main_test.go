package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"thingbridge/bridge"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFileVar); path != "" {
		os.Exit(crashChild(path))
	}
	goleak.VerifyTestMain(m)
}

// anOutbox is what the tests of both modes use.
type anOutbox interface {
	bridge.Outbox
	Status() Status
	Close() error
}

func openDisk(t testing.TB, path string, opt Options) *Disk {
	t.Helper()
	d, err := OpenDisk(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func newMemory(t testing.TB, opt Options) *Memory {
	t.Helper()
	m, err := NewMemory(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "outbox.db") }

func rec(thing, key, data string) bridge.Record {
	return bridge.Record{Thing: thing, Key: key, Data: []byte(data), Time: time.Now().UnixMilli()}
}

// appendKept appends and waits for kept.
func appendKept(t testing.TB, o bridge.Outbox, recs ...bridge.Record) {
	t.Helper()
	if err := appendErr(o, recs...); err != nil {
		t.Fatalf("kept(%v)", err)
	}
}

func appendErr(o bridge.Outbox, recs ...bridge.Record) error {
	done := make(chan error, 1)
	o.Append(recs, func(err error) { done <- err })
	return <-done
}

// texts gives what a Thing has, as data texts.
func texts(t testing.TB, o bridge.Outbox, thing string) []string {
	t.Helper()
	recs, err := o.Peek(thing, 0, 1<<20, 1<<30)
	if err != nil {
		t.Fatalf("peek: %v", err)
	}
	out := []string{}
	last := uint64(0)
	for _, r := range recs {
		if r.Thing != thing || r.Seq <= last {
			t.Fatalf("record %d of %q after %d while peeking %q", r.Seq, r.Thing, last, thing)
		}
		last = r.Seq
		out = append(out, string(r.Data))
	}
	return out
}

func wantTexts(t testing.TB, o bridge.Outbox, thing string, want ...string) {
	t.Helper()
	if got := texts(t, o, thing); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Fatalf("%s has %q; want %q", thing, got, want)
	}
}

// dropCount counts what OnDrop is told.
type dropCount struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *dropCount) add(reason, thing string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[reason+" "+thing] += n
}

func (c *dropCount) want(t testing.TB, want map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if fmt.Sprint(c.n) != fmt.Sprint(want) {
		t.Fatalf("dropped %v; want %v", c.n, want)
	}
}

// bothModes runs a test on a fresh outbox of each mode.
func bothModes(t *testing.T, opt Options, do func(t *testing.T, o anOutbox)) {
	t.Run("disk", func(t *testing.T) { do(t, openDisk(t, tempFile(t), opt)) })
	t.Run("memory", func(t *testing.T) { do(t, newMemory(t, opt)) })
}

var errTest = errors.New("test")
