package mqttbus

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// wire is a network connection whose other end has said everything already.
type wire struct {
	net.Conn
	data []byte
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.data)
	w.data = w.data[n:]
	return n, nil
}
func (w *wire) Write(p []byte) (int, error)      { return len(p), nil }
func (w *wire) Close() error                     { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// Whatever a broker sends, the library's parser sees whole packets only, none
// larger than the limits allow, and never more codes than filters.
func FuzzBrokerBytes(f *testing.F) {
	connack := []byte{0x20, 2, 0, 0}
	for _, s := range [][]byte{
		publishBytes("a/b", 0, 0, []byte("x")), publishBytes("a/b", 1, 7, make([]byte, 300)), publishBytes("a", 2, 8, nil),
		{0x90, 3, 0, 1, 1}, {0x90, 5, 0, 1, 1, 1, 1}, {0x40, 2, 0, 1}, {0xd0, 0}, {0xe0, 0}, {0x62, 2, 0, 1},
		{0x30, 0xff, 0xff, 0xff, 0x7f}, {0x32, 0x80, 0x80, 0x80, 0x80, 1}, {0x30, 4, 0xff, 0xff, 1, 2},
	} {
		f.Add(append(append([]byte{}, connack...), s...))
		f.Add(s)
	}
	m, err := newMetrics(nil)
	if err != nil {
		f.Fatal(err)
	}
	const limit = 200
	var atLimit atomic.Int64
	atLimit.Store(limit)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newInbox(4, 1000, m)
		c := newConn(&wire{data: data}, connOptions{
			payloadLimit: &atLimit, keepAlive: time.Second, writeTimeout: time.Second, inbox: in, metrics: m,
			skipped: func(string, int, dropReason) {},
		})
		subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{"a", "b"}, []byte{1, 1}
		subscribe.Write(c)
		for n := 0; ; n++ {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.ConnackPacket:
				if n != 0 || p.ReturnCode > 5 {
					t.Fatalf("packet %d is %v", n, p)
				}
			case *packets.PublishPacket:
				if len(p.Payload) > limit || p.Qos > 2 {
					t.Fatalf("let through: %v", p)
				}
			case *packets.SubackPacket:
				if p.MessageID != 1 || len(p.ReturnCodes) != 2 {
					t.Fatalf("let through: %v", p)
				}
			case *packets.PubackPacket, *packets.PubrecPacket, *packets.PubrelPacket, *packets.PubcompPacket,
				*packets.UnsubackPacket, *packets.PingrespPacket:
			default:
				t.Fatalf("let through: %T", p)
			}
			if n == 0 {
				if _, ok := p.(*packets.ConnackPacket); !ok {
					t.Fatalf("first packet is %T", p)
				}
			}
		}
	})
}
