package bridge_test

import (
	"errors"
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
	refuse    func(int) error // of the n-th Append
	appends   int
}

func (o *trapBox) Peek(thing string, after uint64, most, bytes int) ([]bridge.Record, error) {
	recs, err := o.Outbox.Peek(thing, after, most, bytes)
	if f := o.emptyPeek; f != nil && len(recs) == 0 {
		o.emptyPeek = nil
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
