package bridge

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/edge/alwayson"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		fold, want    bool
	}{
		{"*", "", false, true}, {"*", "anything", false, true}, {"a*", "abc", false, true}, {"a*", "ba", false, false},
		{"*c", "abc", false, true}, {"a*c*e", "abcde", false, true}, {"a?c", "abc", false, true}, {"a?c", "ac", false, false},
		{"abc", "abc", false, true}, {"abc", "abcd", false, false}, {"PUMP-*", "pump-1", true, true}, {"PUMP-*", "pump-1", false, false},
		{strings.Repeat("*a", 30), strings.Repeat("a", 5000) + "b", false, false},
	} {
		if got := newGlobs([]string{c.pattern}, c.fold).match(c.name); got != c.want {
			t.Errorf("%q on %.20q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestPermissionDenyWins(t *testing.T) {
	p := permission{allow: newGlobs([]string{"a*"}, false), deny: newGlobs([]string{"ab*"}, false)}
	for name, want := range map[string]bool{"ac": true, "abc": false, "x": false} {
		if p.permits(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
	if !(permission{}).permits("x") {
		t.Error("without lists everything is permitted")
	}
}

func TestTimersFireInOrderAndNotAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTimers()
		var fired []int
		var all []*timer
		for _, s := range []int{3, 1, 2, 5, 4} {
			all = append(all, q.after(time.Duration(s)*time.Second, func() { fired = append(fired, s) }))
		}
		if !q.stop(all[2]) || q.stop(all[2]) || q.stop(nil) {
			t.Error("stop does not tell whether the timer waited")
		}
		for {
			next, ok := q.run()
			if !ok {
				break
			}
			time.Sleep(next)
		}
		if fmt.Sprint(fired) != "[1 3 4 5]" || q.stop(all[0]) {
			t.Errorf("fired %v", fired)
		}
	})
}

func TestEqualSubscriptionsAreShared(t *testing.T) {
	var sets subscriptionSets
	list := func(threshold float64) []alwayson.Subscription {
		return []alwayson.Subscription{{EdgeName: "a", Threshold: threshold}, {EdgeName: "b"}}
	}
	one, two, other := sets.get(list(1)), sets.get(list(1)), sets.get(list(2))
	if one != two || one == other || one.index["b"] != 1 {
		t.Error("equal sets are not one, or different ones are")
	}
	for i := range 1000 {
		sets.get(list(float64(i + 10)))
		if i%100 == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	sets.get(list(-1))
	if n := len(sets.sets); n > 500 {
		t.Errorf("%d sets are kept, though nobody uses them", n)
	}
	runtime.KeepAlive(one)
	runtime.KeepAlive(other)
}

func TestProblemsAreBoundedAndRepetitionsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r problemRing
		for i := range 20 {
			r.add("kind", fmt.Sprint(i))
			r.add("kind", fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		list := r.all()
		if len(list) != problemsPerThing || list[0].text != "19" || list[0].count != 2 {
			t.Errorf("%+v", list)
		}
	})
}

func TestRequestIDsAreUnguessable(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewRequestID()
		n := NewNumericRequestID()
		if len(id) < 26 || strings.ContainsAny(id, "/+#") || seen[id] || n <= 0 || n >= 1<<53 {
			t.Fatalf("%q %d", id, n)
		}
		seen[id] = true
	}
}

func TestSentHashesSurvive(t *testing.T) {
	v := alwayson.PropertyValue{Name: "a", Value: alwayson.NewNumber(1)}
	same, other := v, v
	other.Quality = "BAD"
	if hashValue(&v) == hashValue(&other) || hashValue(&v) != hashValue(&same) {
		t.Error("a hash does not tell qualities apart")
	}
	got := decodeSent(encodeSent([]known{{PropertyValue: v, sent: 7}, {PropertyValue: alwayson.PropertyValue{Name: "unsent"}}}, []sentHash{{hashText("a"), 1}, {3, 4}}))
	if fmt.Sprint(got) != fmt.Sprint([]sentHash{{hashText("a"), 7}, {3, 4}}) {
		t.Errorf("%v", got)
	}
	if decodeSent([]byte{99, 1}) != nil {
		t.Error("an unknown version is read")
	}
}
