package mqttbus

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

// slowRecorder holds each message back until it is let go.
type slowRecorder struct {
	*recorder
	gate chan struct{}
}

func (r *slowRecorder) Message(m *bridge.Message) {
	<-r.gate
	m.Ack()
	r.recorder.Message(m)
}

func TestAFloodOfRetainedMessagesReachesASlowConsumer(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprintf("at quality of service %d", qos), func(t *testing.T) {
			t.Parallel()
			eachBroker(t, func(t *testing.T, url string) {
				n := 10_000
				if qos == 1 {
					n = 1500 // mosquitto sends 20 at a time
				}
				d := device(t, url, "device")
				for i := range n {
					token := d.Publish(fmt.Sprintf("things/t%d/announce", i), qos, true, "{}")
					if i%100 == 99 {
						wait(t, token)
					}
				}
				wait(t, d.Publish("things/last", 1, false, ""))
				r := &slowRecorder{newRecorder(), make(chan struct{})}
				o := testOptions(t, url)
				o.InboxMessages = 10
				o.KeepAlive = 2 * time.Second
				b, _ := startBus(t, o, r, "things/+/announce", "other")
				// Nothing is taken for longer than silence would be borne.
				eventually(t, "reading has paused", func() bool { return counterValue(b.metrics.inboxPauses) > 0 })
				nothing(t, r.down, 4*time.Second, "loss of the connection")
				close(r.gate)
				seen := make(map[string]bool)
				for len(seen) < n {
					seen[receive(t, r.messages, "message").Topic] = true
				}
				receive(t, r.up, "BusUp")
				if n, _ := b.inbox.depth(); n > 20 {
					t.Errorf("inbox holds %d", n)
				}
				if session := b.Status().Session; session != 1 {
					t.Errorf("it took %d sessions", session)
				}
			})
		})
	}
}

func TestLiveMessagesAtQoS0AreDroppedWhileTheInboxIsFull(t *testing.T) {
	const n = 2000
	sent := make(chan struct{})
	url := scripted(t, func(conn net.Conn) {
		for i := range n {
			conn.Write(publishBytes("live", 0, 0, fmt.Append(nil, i)))
		}
		conn.Write(publishBytes("kept", 1, 1, nil))
		close(sent)
		serveWell(conn, nil)
	})
	r := &slowRecorder{newRecorder(), make(chan struct{})}
	o := testOptions(t, url)
	o.InboxMessages = 100
	b, _ := startBus(t, o, r)
	receive(t, sent, "end of the flood")
	eventually(t, "the message at quality of service 1 is waited for", func() bool { return counterValue(b.metrics.inboxPauses) == 1 })
	close(r.gate)
	got := 0
	for {
		m := receive(t, r.messages, "message")
		if m.Topic == "kept" {
			break
		}
		got++
	}
	dropped := int(counterValue(b.metrics.dropped[dropInboxFull]))
	if got+dropped != n || dropped == 0 {
		t.Fatalf("%d received and %d counted as dropped of %d", got, dropped, n)
	}
}

// A SUBACK behind a flood is waited for as long as the flood moves.
func TestASubackBehindMessagesIsWaitedFor(t *testing.T) {
	url := scripted(t, func(conn net.Conn) {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		id := p.(*packets.SubscribePacket).MessageID
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 25 { // longer in all than the limit, each pause far shorter
			<-tick.C
			conn.Write(publishBytes("flood", 0, 0, nil))
		}
		conn.Write([]byte{0x90, 3, byte(id >> 8), byte(id), 1})
		serveWell(conn, nil)
	})
	r := newRecorder()
	o := testOptions(t, url)
	o.AckTimeout = 2 * time.Second
	startBus(t, o, r, "flood")
	if session := receive(t, r.up, "BusUp"); session != 1 {
		t.Fatalf("it took %d sessions", session)
	}
}

func TestAMissingSubackEndsTheSession(t *testing.T) {
	url := scripted(t, func(conn net.Conn) {
		serveWell(&noWrites{conn}, nil)
	})
	o := testOptions(t, url)
	o.AckTimeout = 200 * time.Millisecond
	b, _ := startBus(t, o, newRecorder(), "a")
	eventually(t, "the reason is shown", func() bool { return b.Status().LastError == errSubackTimeout.Error() })
}

type noWrites struct{ net.Conn }

func (noWrites) Write(p []byte) (int, error) { return len(p), nil }

func TestTwoBridgesWithOneClientIDAreNamed(t *testing.T) {
	br := startBroker(t, broker.Options{})
	sink := &logSink{}
	for range 2 {
		o := testOptions(t, br.URL())
		o.Logger = testLoggerTo(sink)
		startBus(t, o, newRecorder())
	}
	eventually(t, "the log names the client id", func() bool {
		return contains(sink.String(), "uses the same client id", "client_id="+t.Name())
	})
}
