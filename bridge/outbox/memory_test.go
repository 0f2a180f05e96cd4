package outbox

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
)

// keptLog collects the calls of kept by name.
type keptLog map[string][]error

func (l keptLog) of(name string) func(error) {
	return func(err error) { l[name] = append(l[name], err) }
}

func (l keptLog) want(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if len(l[name]) != 1 || l[name][0] != nil {
			t.Fatalf("%s: kept was called with %v; want once with nil", name, l[name])
		}
	}
	if len(l) != len(names) {
		t.Fatalf("kept was called for %v; want only %q", l, names)
	}
}

func TestInMemoryAMessageIsKeptWhenAllItsRecordsAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newMemory(t, Options{}), keptLog{}
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
		log := keptLog{}
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
	m, log := newMemory(t, Options{HoldMax: 2}), keptLog{}
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
