package mqttbus

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

func TestMessagesArriveInOrderAndAreAcknowledgedByHand(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := newRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "things/#")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		const n = 500
		for i := range n {
			d.Publish("things/a", 1, false, fmt.Sprint(i))
		}
		for i := range n {
			m := receive(t, r.messages, "message")
			if string(m.Payload) != fmt.Sprint(i) || m.QoS != 1 || m.Dup || m.Retained || m.Topic != "things/a" {
				t.Fatalf("message %d is %+v with %q", i, m, m.Payload)
			}
			m.Ack()
			m.Ack()
		}
		eventually(t, "nothing is unacknowledged", func() bool { return gaugeValue(b.metrics.unacked) == 0 })
	})
}

func TestUnacknowledgedMessagesComeAgainAfterTheConnectionWasCut(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := newRecorder()
		o := testOptions(t, url)
		var c cutter
		o.Dial = c.dial
		b, _ := startBus(t, o, r, "things/#")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		for i := range 10 {
			wait(t, d.Publish("things/a", 1, false, fmt.Sprint(i)))
		}
		var old []*bridge.Message
		for range 10 {
			old = append(old, receive(t, r.messages, "message"))
		}
		acknowledge(t, b, old[:4]...)
		// The broker has read them once it answers a later packet of the same connection.
		b.Subscribe("other")
		receive(t, r.up, "BusUp after a later Subscribe")
		c.cut()
		receive(t, r.down, "BusDown")
		if n := receive(t, r.up, "BusUp"); n != 2 {
			t.Fatalf("session %d, expected 2", n)
		}
		for _, m := range old[4:] {
			m.Ack() // of the old connection: must do nothing
		}
		var again []string
		for range 6 {
			m := receive(t, r.messages, "message delivered again")
			if !m.Dup {
				t.Fatalf("delivered again without DUP: %q", m.Payload)
			}
			again = append(again, string(m.Payload))
			m.Ack()
		}
		slices.Sort(again) // the embedded broker does not keep the order here
		if want := []string{"4", "5", "6", "7", "8", "9"}; !slices.Equal(again, want) {
			t.Fatalf("delivered again: %v, expected %v", again, want)
		}
		wait(t, d.Publish("things/a", 1, false, "next"))
		if m := receive(t, r.messages, "message"); string(m.Payload) != "next" || m.Dup {
			t.Fatalf("after the redelivery came %q dup=%v", m.Payload, m.Dup)
		}
	})
}

func TestTheSessionSurvivesARestartOfTheBrokerAndOfTheBridge(t *testing.T) {
	m := startMosquitto(t, "persistence true\npersistence_location $DIR/")
	r := newRecorder()
	o := testOptions(t, m.url())
	_, stop := startBus(t, o, r, "things/#")
	receive(t, r.up, "BusUp")
	m.stop()
	receive(t, r.down, "BusDown")
	m.start()
	receive(t, r.up, "BusUp after the broker's restart")
	stop()

	d := device(t, m.url(), "device")
	wait(t, d.Publish("things/a", 1, false, "while away"))
	r2 := newRecorder()
	startBus(t, o, r2, "things/#")
	if got := receive(t, r2.messages, "message kept by the broker"); string(got.Payload) != "while away" {
		t.Fatalf("got %q", got.Payload)
	}
}

func TestPublicationsAreConfirmedInOrder(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := ackingRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "echo/#")
		receive(t, r.up, "BusUp")
		const n = 1000
		done := make(chan int, n)
		for i := range n {
			b.Publish(bridge.Publication{Topic: "echo/x", Payload: fmt.Append(nil, i), QoS: 1}, func(err error) {
				if err != nil {
					t.Errorf("publication %d: %v", i, err)
				}
				done <- i
			})
		}
		for i := range n {
			if got := receive(t, done, "end of a publication"); got != i {
				t.Fatalf("publication %d ended, expected %d", got, i)
			}
		}
		for i := range n {
			if m := receive(t, r.messages, "message"); string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("received %q, expected %d", m.Payload, i)
			}
		}
	})
}

func TestPublicationsThatWereNotConfirmedAreSentAgainInOrder(t *testing.T) {
	url := startBroker(t, broker.Options{}).URL()
	witness := ackingRecorder()
	wo := testOptions(t, url)
	wo.ClientID = "witness"
	startBus(t, wo, witness, "out/#")
	receive(t, witness.up, "BusUp")

	r := newRecorder()
	o := testOptions(t, url)
	var c cutter
	o.Dial = c.dial
	o.PublishQueue = 100_000
	b, _ := startBus(t, o, r)
	receive(t, r.up, "BusUp")
	const n = 10_000
	done := make(chan error, n)
	go func() {
		for i := range n {
			b.Publish(bridge.Publication{Topic: "out/x", Payload: fmt.Append(nil, i), QoS: 1}, func(err error) { done <- err })
		}
	}()
	for i := range n {
		if err := receive(t, done, "end of a publication"); err != nil {
			t.Fatal(err)
		}
		if i == 1000 || i == 4000 || i == 7000 {
			c.cut()
		}
	}
	seen, last := make(map[int]bool), -1
	for len(seen) < n {
		m := receive(t, witness.messages, "message")
		var i int
		fmt.Sscan(string(m.Payload), &i)
		if !seen[i] && i != last+1 {
			t.Fatalf("%d came for the first time after %d", i, last)
		}
		if !seen[i] {
			last = i
		}
		seen[i] = true
	}
	if resent := counterValue(b.metrics.resent); resent == 0 {
		t.Error("no publication was in flight when the connection was cut; the test proves nothing")
	}
}

func TestAPublicationExpiresWhileThereIsNoConnection(t *testing.T) {
	o := testOptions(t, fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t)))
	b, stop := startBus(t, o, newRecorder())
	ends := make(chan error, 3)
	b.Publish(bridge.Publication{Topic: "a", QoS: 1}, func(err error) { ends <- err })
	b.Publish(bridge.Publication{Topic: "a", QoS: 1, Expires: time.Now().Add(50 * time.Millisecond)}, func(err error) { ends <- err })
	if err := receive(t, ends, "end"); !errors.Is(err, bridge.ErrExpired) {
		t.Fatalf("ended with %v", err)
	}
	stop()
	if err := receive(t, ends, "end"); !errors.Is(err, bridge.ErrBusDown) {
		t.Fatalf("ended with %v", err)
	}
	b.Publish(bridge.Publication{Topic: "a"}, func(err error) { ends <- err })
	if err := receive(t, ends, "end"); !errors.Is(err, bridge.ErrBusDown) {
		t.Fatalf("after the end it ended with %v", err)
	}
}

func TestAFullQueueAndABadTopicEndAtOnce(t *testing.T) {
	o := testOptions(t, fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t)))
	o.PublishQueue = 2
	b, _ := startBus(t, o, newRecorder())
	ends := make(chan error, 5)
	done := func(err error) { ends <- err }
	b.Publish(bridge.Publication{Topic: "a"}, nil)
	b.Publish(bridge.Publication{Topic: "a"}, nil)
	b.Publish(bridge.Publication{Topic: "a"}, done)
	if err := receive(t, ends, "end"); !errors.Is(err, bridge.ErrBusFull) {
		t.Fatalf("ended with %v", err)
	}
	for _, topic := range []string{"", "a/+", "a/#", "a\x00", "\xff"} {
		b.Publish(bridge.Publication{Topic: topic}, done)
		if err := receive(t, ends, "end"); !errors.Is(err, errBadTopic) {
			t.Errorf("topic %q ended with %v", topic, err)
		}
	}
}

func TestRefusedFiltersHurtNoOthers(t *testing.T) {
	br := startBroker(t, broker.Options{Allow: func(_, _, topic string, write bool) bool {
		return write || topic != "secret/#"
	}})
	r := newRecorder()
	b, _ := startBus(t, testOptions(t, br.URL()), r, "open/#", "secret/#", "secret/mine", "bad/#/filter")
	receive(t, r.up, "BusUp")
	refused := b.Status().Filters
	if len(refused) != 2 || refused["secret/#"] == "" || refused["bad/#/filter"] == "" {
		t.Fatalf("refused: %v", refused)
	}
	d := device(t, br.URL(), "device")
	wait(t, d.Publish("secret/mine", 1, false, "x"))
	wait(t, d.Publish("open/a", 1, false, "y"))
	if m := receive(t, r.messages, "message"); m.Topic != "secret/mine" {
		t.Fatalf("received %s first; a refused filter must not stand for those it covers", m.Topic)
	}
	if m := receive(t, r.messages, "message"); m.Topic != "open/a" {
		t.Fatalf("received %s", m.Topic)
	}
	b.Unsubscribe("secret/#", "bad/#/filter")
	eventually(t, "no filter is refused", func() bool { return len(b.Status().Filters) == 0 })
}

func TestOverlappingFiltersBringOneCopy(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := newRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "a/+/c", "a/#", "a/b/c", "z")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		wait(t, d.Publish("a/b/c", 1, false, "1"))
		wait(t, d.Publish("z", 1, false, "end"))
		for _, topic := range []string{"a/b/c", "z"} {
			m := receive(t, r.messages, "message")
			if m.Topic != topic {
				t.Fatalf("received %s, expected one message of %s", m.Topic, topic)
			}
			// The embedded broker ignores an UNSUBSCRIBE whose packet id is that
			// of a message it waits to be acknowledged.
			acknowledge(t, b, m)
		}
		b.Subscribe("later")
		receive(t, r.up, "BusUp")
		// Without the wide filter the narrow ones must work again.
		b.Unsubscribe("a/#", "a/+/c")
		receive(t, r.up, "BusUp")
		eventually(t, "the broker has taken the wide filter away", func() bool {
			kept := b.keptFilters()
			_, wide := kept["a/#"]
			_, narrow := kept["a/+/c"]
			return !wide && !narrow
		})
		wait(t, d.Publish("a/x/c", 1, false, "unwanted"))
		wait(t, d.Publish("a/b/c", 1, false, "2"))
		eventually(t, "the wide filter is gone", func() bool {
			wait(t, d.Publish("a/x/y", 1, false, "probe"))
			wait(t, d.Publish("a/b/c", 1, false, "mark"))
			probe := false
			for {
				m := receive(t, r.messages, "message")
				probe = probe || m.Topic == "a/x/y"
				m.Ack()
				if string(m.Payload) == "mark" {
					return !probe
				}
			}
		})
	})
}

func TestFiltersOfTheKeptSessionThatAreNotWantedAreUnsubscribed(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		var saved atomic.Pointer[[]string]
		o := testOptions(t, url)
		o.LoadSubscribed = func() ([]string, error) {
			if f := saved.Load(); f != nil {
				return *f, nil
			}
			return nil, nil
		}
		o.SaveSubscribed = func(f []string) error { saved.Store(&f); return nil }
		r := newRecorder()
		_, stop := startBus(t, o, r, "old/#", "same/#")
		receive(t, r.up, "BusUp")
		stop()
		if got := *saved.Load(); !slices.Equal(got, []string{"old/#", "same/#"}) {
			t.Fatalf("saved %q", got)
		}
		r = newRecorder()
		startBus(t, o, r, "same/#", "new/#")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		eventually(t, "old/# is no longer delivered", func() bool {
			wait(t, d.Publish("old/a", 1, false, "x"))
			wait(t, d.Publish("same/a", 1, false, "mark"))
			return receive(t, r.messages, "message").Topic == "same/a"
		})
		eventually(t, "old/# is no longer on record", func() bool {
			return slices.Equal(*saved.Load(), []string{"new/#", "same/#"})
		})
	})
}
