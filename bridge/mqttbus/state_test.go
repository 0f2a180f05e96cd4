package mqttbus

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

type stateText struct {
	Online    bool  `json:"online"`
	Timestamp int64 `json:"timestamp"`
}

func testState(topic string) State {
	return State{
		Topic: topic,
		Payload: func(online bool, at time.Time) ([]byte, error) {
			return json.Marshal(stateText{online, at.UnixMilli()})
		},
		Again: func(payload []byte) bool { return strings.Contains(string(payload), `"online":false`) },
	}
}

// TestState follows what a bus says of itself through a cut, a foreign word and its end.
func TestState(t *testing.T) {
	const topic = "spBv1.0/STATE/plant 7"
	eachBroker(t, func(t *testing.T, url string) {
		watch := newRecorder()
		wo := testOptions(t, url)
		wo.ClientID = "watch"
		observer, _ := startBus(t, wo, watch, topic)
		receive(t, watch.up, "BusUp")
		next := func(what string) stateText {
			t.Helper()
			m := receive(t, watch.messages, what)
			m.Ack()
			var s stateText
			if err := json.Unmarshal(m.Payload, &s); err != nil || m.QoS != 1 {
				t.Fatalf("%s: %q at quality of service %d: %v", what, m.Payload, m.QoS, err)
			}
			return s
		}

		o := testOptions(t, url)
		o.States = []State{testState(topic)}
		var c cutter
		o.Dial = c.dial
		started := time.Now().UnixMilli()
		_, stop := startBus(t, o, newRecorder(), "spBv1.0/+/NBIRTH/+")
		birth := next("birth")
		if !birth.Online || birth.Timestamp < started {
			t.Fatalf("birth %+v, not before %d", birth, started)
		}
		c.cut()
		will := next("will")
		if will.Online || will.Timestamp != birth.Timestamp {
			t.Fatalf("will %+v, the birth's timestamp is %d", will, birth.Timestamp)
		}
		again := next("birth after the cut")
		if !again.Online || again.Timestamp <= birth.Timestamp {
			t.Fatalf("second birth %+v", again)
		}
		observer.Publish(bridge.Publication{Topic: topic, Payload: []byte(`{"online":false,"timestamp":1}`), QoS: 1, Retain: true}, nil)
		if s := next("the foreign word"); s.Online {
			t.Fatalf("%+v", s)
		}
		if s := next("the answer"); s != again {
			t.Fatalf("answered with %+v, expected the birth %+v", s, again)
		}
		stop()
		end := next("the last word")
		if end.Online || end.Timestamp < again.Timestamp {
			t.Fatalf("last word %+v", end)
		}
		nothing(t, watch.messages, 100*time.Millisecond, "message: the will of a connection that said goodbye")

		late := newRecorder()
		lo := testOptions(t, url)
		lo.ClientID = "late"
		startBus(t, lo, late, topic)
		if m := receive(t, late.messages, "what is retained"); !m.Retained || strings.Contains(string(m.Payload), "true") {
			t.Fatalf("retained %v: %s", m.Retained, m.Payload)
		}
	})
}

// TestAStateIsSaidOnceAllIsSubscribed looks at what a broker sees, in order.
func TestAStateIsSaidOnceAllIsSubscribed(t *testing.T) {
	const topic = "spBv1.0/STATE/h"
	seen := make(chan string, 100)
	br := startBroker(t, broker.Options{Allow: func(clientID, _, topic string, write bool) bool {
		verb := "hears "
		if write {
			verb = "says "
		}
		seen <- clientID + " " + verb + topic
		return true
	}})
	o := testOptions(t, br.URL())
	o.ClientID = "b"
	o.States = []State{testState(topic)}
	r := newRecorder()
	startBus(t, o, r, "spBv1.0/+/NBIRTH/+")
	receive(t, r.up, "BusUp")
	var before []string
	for {
		s := receive(t, seen, "the state")
		if s == "b-state says "+topic {
			break
		}
		before = append(before, s)
	}
	for _, want := range []string{"b hears spBv1.0/+/NBIRTH/+", "b-state hears " + topic} {
		if !strings.Contains(strings.Join(before, "\n"), want) {
			t.Errorf("the state was said before %q; seen: %q", want, before)
		}
	}
}

func TestWhatIsBetweenMessagesComesInItsPlace(t *testing.T) {
	in := newInbox(10, 1000, nil)
	var order []string
	in.push(&bridge.Message{Topic: "first"})
	in.between(func() { order = append(order, "between") })
	in.push(&bridge.Message{Topic: "second"})
	in.soon(func() { order = append(order, "soon") })
	for range 4 {
		m, ok := in.take()
		switch {
		case !ok:
			t.Fatal("the inbox is empty")
		case m.do != nil:
			m.do()
		default:
			order = append(order, m.Topic)
		}
	}
	if got := strings.Join(order, " "); got != "soon first between second" {
		t.Errorf("%s", got)
	}
	if messages, bytes := in.depth(); messages != 0 || bytes != 0 {
		t.Errorf("%d entries of %d bytes are left", messages, bytes)
	}
}
