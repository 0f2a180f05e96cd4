package outbox

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
)

// keptLog collects the calls of kept by name.
type keptLog struct {
	mu    sync.Mutex
	calls map[string][]error
}

func newKeptLog() *keptLog { return &keptLog{calls: make(map[string][]error)} }

func (l *keptLog) of(name string) func(error) {
	return func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls[name] = append(l.calls[name], err)
	}
}

func (l *keptLog) want(t *testing.T, names ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if got := l.calls[name]; len(got) != 1 || got[0] != nil {
			t.Fatalf("%s: kept was called with %v; want once with nil", name, got)
		}
	}
	if len(l.calls) != len(names) {
		t.Fatalf("kept was called for %v; want only %q", l.calls, names)
	}
}

func TestInMemoryAMessageIsKeptWhenAllItsRecordsAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newMemory(t, Options{}), newKeptLog()
		recs := []bridge.Record{rec("a", "", "1"), rec("b", "", "2")}
		m.Append(recs, log.of("both"))
		m.Done("a", recs[0].Seq)
		time.Sleep(time.Minute)
		log.want(t)
		m.Done("b", recs[1].Seq)
		log.want(t, "both")
		if s := m.Status(); s.Waiting != 0 {
			t.Fatalf("%d wait", s.Waiting)
		}
	})
}

func TestWhatWaitsForAnUnboundThingIsAcknowledgedAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, Options{Bound: func(thing string) bool { return thing == "bound" }})
		log := newKeptLog()
		m.Append([]bridge.Record{rec("bound", "", "1")}, log.of("bound"))
		m.Append([]bridge.Record{rec("away", "", "2"), rec("bound", "", "3")}, log.of("away"))
		time.Sleep(4900 * time.Millisecond)
		log.want(t)
		time.Sleep(1200 * time.Millisecond)
		log.want(t, "away")
		wantTexts(t, m, "away", "2")
		m.Done("away", 2)
		m.Done("bound", 3)
		log.want(t, "away", "bound")
	})
}

func TestBeyondHoldMaxTheOldestIsAcknowledgedAndStays(t *testing.T) {
	m, log := newMemory(t, Options{HoldMax: 2}), newKeptLog()
	for _, s := range []string{"1", "2", "3"} {
		m.Append([]bridge.Record{rec("a", "", s)}, log.of(s))
	}
	log.want(t, "1")
	wantTexts(t, m, "a", "1", "2", "3")
	m.Done("a", 3)
	log.want(t, "1", "2", "3")
}

func TestCloseGivesBackWhatIsHeld(t *testing.T) {
	m := newMemory(t, Options{HoldMax: 1})
	var first, second error = errTest, errTest
	m.Append([]bridge.Record{rec("a", "", "1")}, func(err error) { first = err })
	m.Append([]bridge.Record{rec("a", "", "2")}, func(err error) { second = err })
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if first != nil || !errors.Is(second, ErrClosed) {
		t.Fatalf("kept(%v) and kept(%v); want nil and ErrClosed", first, second)
	}
}

func TestAFloodCrowdsOutItsOwnRecordsOnly(t *testing.T) {
	lost := map[string]int{}
	m, err := NewMemory(Options{MaxBytes: 64 << 10, OnDrop: func(_, thing string, n int) { lost[thing] += n }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	add := func(thing string) {
		m.Append([]bridge.Record{{Thing: thing, Time: time.Now().UnixMilli(), Data: make([]byte, 100)}}, func(error) {})
	}
	for i := range 20 {
		for range 5 {
			add(fmt.Sprintf("honest-%d", i))
		}
	}
	for range 10_000 {
		add("flooder")
	}
	if lost["flooder"] == 0 || len(lost) != 1 {
		t.Errorf("dropped %v, want only the flooder's", lost)
	}
}
