package mqttbus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

func TestWhatIsRetainedComesAgainWhenItIsRefreshed(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := ackingRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "things/#", "own/topic")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		topics := []string{"things/kept/announce", "things/gone/announce", "own/topic"}
		for _, topic := range topics {
			wait(t, d.Publish(topic, 1, topic != "things/gone/announce", "{}"))
			if m := receive(t, r.messages, "live message"); m.Retained {
				t.Fatalf("%s came with the retain flag", m.Topic)
			}
		}
		for round := range 3 {
			b.Refresh(topics...)
			answered := make(chan struct{}, 1)
			b.Refreshed(func() { answered <- struct{}{} })
			receive(t, answered, "the word that all is answered")
			again := map[string]bool{}
			for range 2 {
				m := receive(t, r.messages, "retained message")
				again[m.Topic] = m.Retained
			}
			if !again["things/kept/announce"] || !again["own/topic"] {
				t.Fatalf("round %d brought %v", round, again)
			}
			eventually(t, "only the filters that are wanted are subscribed", func() bool { return len(b.keptFilters()) == 2 })
		}
		for _, topic := range topics {
			wait(t, d.Publish(topic, 1, false, "live"))
			if m := receive(t, r.messages, "live message"); m.Topic != topic || m.Retained || string(m.Payload) != "live" {
				t.Fatalf("got %q on %s, retained %v", m.Payload, m.Topic, m.Retained)
			}
		}
		nothing(t, r.messages, 100*time.Millisecond, "second copy")
		nothing(t, r.up, 0, "BusUp for a refresh")
	})
}

func TestManyTopicsAreRefreshedInBatches(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := ackingRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "things/#")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		const n = 350
		topics := make([]string, n)
		for i := range topics {
			topics[i] = fmt.Sprintf("things/%d/announce", i)
			d.Publish(topics[i], 1, true, "{}")
		}
		for range n {
			receive(t, r.messages, "live message")
		}
		b.Refresh(topics...)
		seen := map[string]bool{}
		for len(seen) < n {
			if m := receive(t, r.messages, "retained message"); m.Retained {
				seen[m.Topic] = true
			}
		}
	})
}

func TestARefreshedTopicIsNotedBeforeSoThatAKillLeavesNothingSubscribed(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		saves := make(chan []string, 100)
		o := testOptions(t, url)
		o.SaveSubscribed = func(filters []string) error { saves <- filters; return nil }
		r := newRecorder()
		b, _ := startBus(t, o, r, "things/#")
		receive(t, r.up, "BusUp")
		b.Refresh("things/a/announce")
		for _, want := range []string{"[things/#]", "[things/# things/a/announce]", "[things/#]"} {
			if got := fmt.Sprint(receive(t, saves, "save")); got != want {
				t.Fatalf("saved %s, expected %s", got, want)
			}
		}
	})
}

func TestRefreshesAreBoundedAndCounted(t *testing.T) {
	b, err := New(testOptions(t, "tcp://127.0.0.1:1"), newRecorder())
	if err != nil {
		t.Fatal(err)
	}
	topics := make([]string, refreshMax+5)
	for i := range topics {
		topics[i] = fmt.Sprint("things/", i)
	}
	b.Refresh(topics...)
	b.Refresh("things#", "", strings.Repeat("x", maxString+1), "things/1")
	if n := len(b.subs.again); n != refreshMax {
		t.Errorf("%d topics wait, expected %d", n, refreshMax)
	}
	if n := counterValue(b.metrics.refreshesDropped); n != 8 {
		t.Errorf("%v counted as dropped, expected 8", n)
	}
	b.Reconnect("nobody is there") // no session: does nothing
}

func TestWhatIsNotAcknowledgedComesAgainAfterAReconnectThatWasAskedFor(t *testing.T) {
	eachBroker(t, func(t *testing.T, url string) {
		r := newRecorder()
		b, _ := startBus(t, testOptions(t, url), r, "things/#")
		receive(t, r.up, "BusUp")
		d := device(t, url, "device")
		wait(t, d.Publish("things/a", 1, false, "refused"))
		if m := receive(t, r.messages, "message"); m.Session != 1 {
			t.Fatalf("the first message is of session %d", m.Session)
		}
		b.Reconnect("values could not be kept")
		if err := receive(t, r.down, "BusDown"); !strings.Contains(err.Error(), "values could not be kept") {
			t.Fatalf("BusDown says %v", err)
		}
		m := receive(t, r.messages, "message delivered again")
		if string(m.Payload) != "refused" || !m.Dup || m.Session != 2 {
			t.Fatalf("got %q, dup %v, of session %d", m.Payload, m.Dup, m.Session)
		}
		m.Ack()
	})
}

func TestReconnectEndsTheSessionOnce(t *testing.T) {
	r := newRecorder()
	b, _ := startBus(t, testOptions(t, startBroker(t, broker.Options{}).URL()), r, "things/#")
	receive(t, r.up, "BusUp")
	for range 10 {
		b.Reconnect("again")
	}
	receive(t, r.down, "BusDown")
	if n := receive(t, r.up, "BusUp"); n != 2 {
		t.Fatalf("session %d, expected 2", n)
	}
	done := make(chan error, 1)
	b.Publish(bridge.Publication{Topic: "out", QoS: 1}, func(err error) { done <- err })
	if err := receive(t, done, "end of a publication"); err != nil {
		t.Fatal(err)
	}
}
