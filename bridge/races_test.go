package bridge_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// trapBox is an outbox in which the test can act at a certain moment.
type trapBox struct {
	bridge.Outbox
	emptyPeek func()          // after a Peek that found nothing
	fullPeek  func()          // after one that found something
	refuse    func(int) error // of the n-th Append
	appends   int
}

func (o *trapBox) Peek(thing string, after uint64, most, bytes int) ([]bridge.Record, error) {
	recs, err := o.Outbox.Peek(thing, after, most, bytes)
	if f := o.emptyPeek; f != nil && len(recs) == 0 {
		o.emptyPeek = nil
		f()
	}
	if f := o.fullPeek; f != nil && len(recs) > 0 {
		o.fullPeek = nil
		f()
	}
	return recs, err
}

func (o *trapBox) Append(recs []bridge.Record, kept func(error)) {
	o.appends++
	if o.refuse != nil {
		if err := o.refuse(o.appends); err != nil {
			kept(err)
			return
		}
	}
	o.Outbox.Append(recs, kept)
}

func trapped(box *trapBox) setup {
	return func(o *bridge.Options) { box.Outbox, o.Outbox = o.Outbox, box }
}

func TestAValueThatComesWhileTheOutboxIsFoundEmptyDoesNotWaitForTheNext(t *testing.T) {
	box := &trapBox{}
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		box.emptyPeek = func() {
			r.b.Message(&bridge.Message{Topic: properties, Payload: []byte(`{"temp":2}`), QoS: 1, Received: time.Now()})
		}
		r.live(properties, `{"temp":1}`)
		r.mustGot("pump-1.temp=1", "pump-1.temp=2")
	}, trapped(box))
}

func TestWhatFollowsARefusedMessageWaitsSoThatItComesAgainInOrder(t *testing.T) {
	full := errors.New("full")
	box := &trapBox{refuse: func(n int) error {
		if n == 2 {
			return full
		}
		return nil
	}}
	bubble(t, map[string][]alwayson.Subscription{"pump-1": subs("temp"), "pump-2": subs("temp")}, func(r *rig) {
		r.retained(announce, "{}")
		r.retained("things/pump-2/announce", "{}")
		say := func(session uint64, thing string, temp string) {
			topic, payload := "things/"+thing+"/properties", `{"temp":`+temp+`}`
			m := &bridge.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Received: time.Now(), Session: session}
			m.AckFunc = func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.acked[topic+" "+payload]++
			}
			r.bus.jobs.add(func() { r.b.Message(m) })
			synctest.Wait()
		}
		say(1, "pump-1", "1")
		say(1, "pump-1", "2") // refused
		say(1, "pump-1", "3")
		say(1, "pump-2", "7") // another's goes on
		r.mustGot("pump-1.temp=1", "pump-2.temp=7")
		for _, left := range []string{`{"temp":2}`, `{"temp":3}`} {
			if r.acks(properties, left) != 0 {
				t.Errorf("%s is acknowledged", left)
			}
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if len(r.bus.resets) != 1 {
			t.Errorf("asked to reconnect %d times, want once", len(r.bus.resets))
		}
		say(1, "pump-1", "4") // was read before the connection was made anew
		say(2, "pump-1", "2")
		say(2, "pump-1", "3")
		say(2, "pump-1", "4")
		r.mustGot("pump-1.temp=1", "pump-2.temp=7", "pump-1.temp=2", "pump-1.temp=3", "pump-1.temp=4")
		time.Sleep(time.Minute)
		if len(r.bus.resets) != 1 {
			t.Errorf("asked to reconnect %d times in all, want once", len(r.bus.resets))
		}
	}, trapped(box))
}

func TestARetainedValueThatTheOutboxRefusedIsNotTakenForUnchanged(t *testing.T) {
	box := &trapBox{refuse: func(n int) error {
		if n == 1 {
			return errors.New("full")
		}
		return nil
	}}
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.retained(properties, `{"temp":1}`)
		r.mustGot()
		r.retained(properties, `{"temp":1}`) // it comes again
		r.mustGot("pump-1.temp=1")
		r.retained(properties, `{"temp":1}`)
		r.mustGot("pump-1.temp=1")
	}, trapped(box))
}

func TestAPushThatMissedTheConnectionDoesNotCondemnTheNext(t *testing.T) {
	box := &trapBox{}
	bubble(t, pump("temp"), func(r *rig) {
		r.retained(announce, "{}")
		r.platform.mu.Lock()
		r.platform.manual = true
		r.platform.mu.Unlock()
		box.fullPeek = func() { // the connection goes between the look and the push
			r.platform.mu.Lock()
			r.platform.up = false
			r.platform.mu.Unlock()
			r.b.PlatformDown(1, io.ErrUnexpectedEOF)
		}
		r.live(properties, `{"temp":1}`)
		time.Sleep(time.Hour)
		r.platform.connect()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		r.platform.answer(t, alwayson.OK(alwayson.Value{}), nil)
		synctest.Wait()
		r.mustGot("pump-1.temp=1")
		if len(r.platform.resets) != 0 {
			t.Errorf("the new connection was dropped: %q", r.platform.resets)
		}
	}, trapped(box), func(o *bridge.Options) { o.Watchdog = 20 * time.Second })
}

func TestAThingWhoseValuesAreNotTakenCountsAsNotBound(t *testing.T) {
	for _, c := range []struct {
		name  string
		model map[string][]alwayson.Subscription
		resp  *alwayson.Response
		want  bool
	}{
		{"values are taken", pump("temp"), nil, true},
		{"the platform does not know the Thing", pump("temp"), alwayson.Fail(alwayson.NotFound, "no thing"), false},
		{"the platform fails", pump("temp"), alwayson.Fail(alwayson.InternalServerError, ""), false},
		{"the platform has not said what it wants", nil, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.model, func(r *rig) {
				r.platform.judge = func(*alwayson.Request) (*alwayson.Response, error) { return c.resp, nil }
				r.retained(announce, "{}")
				r.live(properties, `{"temp":1}`)
				if got := r.b.Bound("pump-1"); got != c.want {
					t.Errorf("bound: %v, want %v", got, c.want)
				}
			})
		})
	}
}

// table is JSON of a table with rows times 500 cells, of which few say anything.
func table(rows int) string {
	var b strings.Builder
	b.WriteString("[{")
	for i := range 499 {
		fmt.Fprintf(&b, `"c%d":1,`, i)
	}
	return b.String() + `"a":1}` + strings.Repeat(`,{"a":1}`, rows-1) + "]"
}

func TestLastKnownTablesAreBoundedByWhatTheyTakeInMemory(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, "{}")
		for i := range 6 {
			r.live(fmt.Sprintf("%s/p%d", properties, i), table(200))
		}
		cells := 0
		for _, v := range r.b.CurrentValues("pump-1") {
			cells += v.Value.Table().Cells()
		}
		if cells != 400_000 {
			t.Errorf("%d cells are kept of 600,000, want 400,000: 16 MiB", cells)
		}
	})
}

func TestLastKnownValuesAreBoundedInBytes(t *testing.T) {
	bubble(t, pump(), func(r *rig) {
		r.retained(announce, "{}")
		r.live(properties+"/first", `"small"`)
		big := `"` + strings.Repeat("x", 900_000) + `"`
		for i := range 20 {
			r.live(fmt.Sprintf("%s/p%d", properties, i), big)
		}
		r.live(properties+"/first", big)
		total := 0
		for _, v := range r.b.CurrentValues("pump-1") {
			if total += len(v.Value.Text()); v.Name == "first" {
				t.Error("an old value is kept in place of one that does not fit")
			}
		}
		if total < 15<<20 || total > 16<<20 {
			t.Errorf("%d bytes are kept of 18 million, want a little less than 16 MiB", total)
		}
		r.live(properties+"/p0", `"small"`)
		r.live(properties+"/first", `"small"`)
		if n := len(r.b.CurrentValues("pump-1")); n != 19 {
			t.Errorf("%d values are kept when there is room again, want 19", n)
		}
	})
}
