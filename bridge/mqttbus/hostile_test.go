package mqttbus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"thingbridge/bridge"
)

// scripted is a broker that answers CONNECT well and then does as script says
// with the inbound connection. The outbound one is served well.
func scripted(t testing.TB, script func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveScript(c, script)
		}
	}()
	return "tcp://" + l.Addr().String()
}

func serveScript(c net.Conn, script func(net.Conn)) {
	defer c.Close()
	p, err := packets.ReadPacket(c)
	if err != nil {
		return
	}
	connect, ok := p.(*packets.ConnectPacket)
	if !ok {
		return
	}
	c.Write([]byte{0x20, 2, 0, 0})
	if strings.HasSuffix(connect.ClientIdentifier, OutboundSuffix) {
		serveWell(c, nil)
		return
	}
	script(c)
}

// serveWell answers what a client asks until the connection ends.
func serveWell(c net.Conn, each func(packets.ControlPacket)) {
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		if each != nil {
			each(p)
		}
		switch p := p.(type) {
		case *packets.SubscribePacket:
			a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			a.MessageID, a.ReturnCodes = p.MessageID, bytes.Repeat([]byte{1}, len(p.Topics))
			a.Write(c)
		case *packets.UnsubscribePacket:
			a := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
			a.MessageID = p.MessageID
			a.Write(c)
		case *packets.PublishPacket:
			if p.Qos == 1 {
				a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				a.MessageID = p.MessageID
				a.Write(c)
			}
		case *packets.PingreqPacket:
			packets.NewControlPacket(packets.Pingresp).Write(c)
		}
	}
}

// publishBytes encodes a PUBLISH.
func publishBytes(topic string, qos byte, id uint16, payload []byte) []byte {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topic, qos, id, payload
	var b bytes.Buffer
	p.Write(&b)
	return b.Bytes()
}

func TestAHostileBrokerEndsTheConnectionAndNoMore(t *testing.T) {
	cases := []struct {
		name string
		send []byte
		want string
	}{
		{"five bytes that announce 256 MiB of no packet", []byte{0x90, 0xff, 0xff, 0xff, 0x7f}, "SUBACK"},
		{"a remaining length without an end", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, "remaining length"},
		{"a packet type that no broker sends", []byte{0x10, 0}, "type 1"},
		{"a reserved packet type", []byte{0xf0, 0}, "type 15"},
		{"a second CONNACK", []byte{0x20, 2, 0, 0}, "type 2"},
		{"a SUBACK nobody asked for", []byte{0x90, 3, 0, 1, 1}, "no open SUBSCRIBE"},
		{"a PUBACK of another length", []byte{0x40, 3, 0, 1, 1}, "expected 2"},
		{"a PINGRESP with a body", []byte{0xd0, 1, 0}, "PINGRESP"},
		{"a PUBLISH whose topic is longer than the packet", []byte{0x30, 4, 0xff, 0xff, 'a', 'b'}, "topic of 65535"},
		{"a PUBLISH too short for a topic", []byte{0x30, 1, 0}, "PUBLISH of 1"},
		{"a PUBLISH at quality of service 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}, "quality of service 3"},
		{"a PUBLISH at quality of service 1 with packet id 0", []byte{0x32, 5, 0, 1, 'a', 0, 0}, "packet id 0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			url := scripted(t, func(conn net.Conn) {
				conn.Write(c.send)
				io.Copy(io.Discard, conn)
			})
			r := newRecorder()
			o := testOptions(t, url)
			b, _ := startBus(t, o, r)
			eventually(t, "the trouble is shown", func() bool { return strings.Contains(b.Status().LastError, c.want) })
		})
	}
}

func TestASubackWithMoreCodesThanFiltersIsRefused(t *testing.T) {
	url := scripted(t, func(conn net.Conn) {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		id := p.(*packets.SubscribePacket).MessageID
		conn.Write([]byte{0x90, 5, byte(id >> 8), byte(id), 1, 1, 1})
		io.Copy(io.Discard, conn)
	})
	b, _ := startBus(t, testOptions(t, url), newRecorder(), "a")
	eventually(t, "the trouble is shown", func() bool {
		return strings.Contains(b.Status().LastError, "3 codes for 1 filters")
	})
}

func TestTooLargeMessagesAreSkippedAcknowledgedAndCounted(t *testing.T) {
	const size = 64 << 20
	pubacks := make(chan uint16, 10)
	url := scripted(t, func(conn net.Conn) {
		head := binary.AppendUvarint([]byte{0x32}, uint64(size+5))
		conn.Write(append(head, 0, 1, 'x', 0, 7))
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			conn.Write(chunk)
		}
		conn.Write(publishBytes("small", 1, 8, []byte("after it")))
		serveWell(conn, func(p packets.ControlPacket) {
			if a, ok := p.(*packets.PubackPacket); ok {
				pubacks <- a.MessageID
			}
		})
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := newRecorder()
	o := testOptions(t, url)
	o.PayloadLimit = 1000
	b, _ := startBus(t, o, r)
	m := receive(t, r.messages, "the message after the large one")
	runtime.ReadMemStats(&after)
	if string(m.Payload) != "after it" {
		t.Fatalf("received %q", m.Payload)
	}
	m.Ack()
	for _, want := range []uint16{7, 8} {
		if id := receive(t, pubacks, "PUBACK"); id != want {
			t.Fatalf("PUBACK for %d, expected %d", id, want)
		}
	}
	if n := counterValue(b.metrics.dropped[dropTooLarge]); n != 1 {
		t.Errorf("counted %v", n)
	}
	if got, want := receive(t, r.large, "word of the large one"), fmt.Sprintf("x %d", size); got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	// The script's own chunk of 1 MiB is in it.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("allocated %d bytes to skip one message", grown)
	}
}

func TestTopicsThatAreNoneAreDroppedAndAcknowledged(t *testing.T) {
	pubacks := make(chan uint16, 10)
	url := scripted(t, func(conn net.Conn) {
		for i, topic := range []string{"", "a/+", "#", "a\x00b", "\xff\xfe", "good"} {
			conn.Write(publishBytes(topic, 1, uint16(i+1), nil))
		}
		serveWell(conn, func(p packets.ControlPacket) {
			if a, ok := p.(*packets.PubackPacket); ok {
				pubacks <- a.MessageID
			}
		})
	})
	r := newRecorder()
	b, _ := startBus(t, testOptions(t, url), r)
	if m := receive(t, r.messages, "message"); m.Topic != "good" {
		t.Fatalf("received %q", m.Topic)
	}
	for i := range 5 {
		if id := receive(t, pubacks, "PUBACK"); id != uint16(i+1) {
			t.Fatalf("PUBACK for %d, expected %d", id, i+1)
		}
	}
	if n := counterValue(b.metrics.dropped[dropBadTopic]); n != 5 {
		t.Errorf("counted %v", n)
	}
}

func TestARefusedConnectSaysWhy(t *testing.T) {
	for code, want := range map[byte]string{
		1: "does not speak MQTT 3.1.1", 2: "client id", 3: "not available",
		4: "user name or password", 5: "not authorised", 9: "unknown return code 9", 254: "unknown return code 254",
	} {
		t.Run(fmt.Sprintf("return code %d", code), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					packets.ReadPacket(c)
					c.Write([]byte{0x20, 2, 0, code})
					c.Close()
				}
			}()
			b, _ := startBus(t, testOptions(t, "tcp://"+l.Addr().String()), newRecorder())
			eventually(t, "the reason is shown", func() bool { return strings.Contains(b.Status().LastError, want) })
		})
	}
}

func TestTLSToAPortWithoutItSaysWhatToLookAt(t *testing.T) {
	for name, answer := range map[string]string{"the broker answers in plain": "\x20\x02\x00\x05 no", "the broker hangs up": ""} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Read(make([]byte, 16))
					c.Write([]byte(answer))
					c.Close()
				}
			}()
			b, _ := startBus(t, testOptions(t, "ssl://"+l.Addr().String()), newRecorder())
			eventually(t, "the reason is shown", func() bool {
				return strings.Contains(b.Status().LastError, "see whether the broker speaks TLS on this port")
			})
		})
	}
}

func TestABrokerThatNeverAnswersIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := testOptions(t, "tcp://"+l.Addr().String())
	o.ConnectTimeout = 100 * time.Millisecond
	b, _ := startBus(t, o, newRecorder())
	eventually(t, "the reason is shown", func() bool {
		return strings.Contains(b.Status().LastError, errNoConnack.Error())
	})
}

func TestABrokerThatFallsSilentIsNoticed(t *testing.T) {
	silent := make(chan struct{})
	url := scripted(t, func(conn net.Conn) {
		<-silent
	})
	defer close(silent)
	r := newRecorder()
	o := testOptions(t, url)
	o.KeepAlive = time.Second
	b, _ := startBus(t, o, r)
	receive(t, r.up, "BusUp")
	if err := receive(t, r.down, "BusDown"); !errors.Is(err, errSilent) {
		t.Fatalf("it went down for %v", err)
	}
	_ = b
}

// deaf is a broker that accepts connections and then takes nothing, though it
// seems alive by its pings.
func deaf(t *testing.T) string {
	t.Helper()
	block := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(block); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*net.TCPConn).SetReadBuffer(4096)
			go func() {
				defer c.Close()
				packets.ReadPacket(c)
				c.Write([]byte{0x20, 2, 0, 0})
				for {
					select {
					case <-block:
						return
					case <-time.After(50 * time.Millisecond):
						c.Write([]byte{0xd0, 0})
					}
				}
			}()
		}
	}()
	return "tcp://" + l.Addr().String()
}

func TestABrokerThatStopsReadingIsNoticed(t *testing.T) {
	r := newRecorder()
	o := testOptions(t, deaf(t))
	o.WriteTimeout = 300 * time.Millisecond
	b, _ := startBus(t, o, r)
	receive(t, r.up, "BusUp")
	for range 50 {
		b.Publish(bridge.Publication{Topic: "x", Payload: make([]byte, 200_000), QoS: 1}, nil)
	}
	if err := receive(t, r.down, "BusDown"); !strings.Contains(err.Error(), "took nothing for 300ms") {
		t.Fatalf("it went down for %v", err)
	}
}

func TestStoppingTakesNoLongerThanItMayWhenTheBrokerTakesNothing(t *testing.T) {
	r := newRecorder()
	o := testOptions(t, deaf(t))
	o.WriteTimeout = time.Hour
	o.StopTimeout = 300 * time.Millisecond
	o.Will = &bridge.Publication{Topic: "status", Payload: []byte("offline"), QoS: 1}
	b, stop := startBus(t, o, r)
	receive(t, r.up, "BusUp")
	for range 50 {
		b.Publish(bridge.Publication{Topic: "x", Payload: make([]byte, 200_000), QoS: 1}, nil)
	}
	eventually(t, "publications are in flight", func() bool { return b.Status().PublishInFlight > 0 })
	started := time.Now()
	stop()
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}
