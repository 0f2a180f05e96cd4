package bridge_test

import (
	"testing"
	"time"

	"thingbridge/bridge"
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
