package integration

import (
	"bufio"
	wire "encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// tap stands between a client and the broker and keeps what clients say, packet by
// packet, in the order in which it came.
type tap struct {
	listener net.Listener
	upstream string
	work     sync.WaitGroup

	mu      sync.Mutex
	conns   int
	packets []packet
	open    map[net.Conn]struct{}
}

// packet is one MQTT packet that a client sent.
type packet struct {
	conn    int
	kind    byte // 1 CONNECT, 3 PUBLISH, 8 SUBSCRIBE, 14 DISCONNECT
	topic   string
	payload string
	qos     byte
	retain  bool
	filters []string
	connect connectPacket
}

type connectPacket struct {
	clientID             string
	clean, will          bool
	willTopic, willWords string
	willQoS              byte
	willRetain           bool
}

func newTap(t testing.TB, upstream string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, upstream: upstream, open: map[net.Conn]struct{}{}}
	p.work.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

// cut breaks every connection, as a network does.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *tap) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.upstream)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns++
		number := p.conns
		p.open[client], p.open[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		end := func() {
			client.Close()
			server.Close()
			p.mu.Lock()
			delete(p.open, client)
			delete(p.open, server)
			p.mu.Unlock()
		}
		p.work.Go(func() {
			defer end()
			p.copyPackets(number, server, bufio.NewReader(client))
		})
		p.work.Go(func() {
			defer end()
			_, _ = io.Copy(client, server)
		})
	}
}

func (p *tap) copyPackets(conn int, to io.Writer, from *bufio.Reader) {
	for {
		first, err := from.ReadByte()
		if err != nil {
			return
		}
		length, err := wire.ReadUvarint(from) // MQTT's lengths are written the same way
		if err != nil {
			return
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		if out, ok := readPacket(first, body); ok {
			out.conn = conn
			p.mu.Lock()
			p.packets = append(p.packets, out)
			p.mu.Unlock()
		}
		if _, err := to.Write(append(wire.AppendUvarint([]byte{first}, length), body...)); err != nil {
			return
		}
	}
}

func readPacket(first byte, b []byte) (packet, bool) {
	out := packet{kind: first >> 4, qos: first >> 1 & 3, retain: first&1 == 1}
	text := func() string {
		n := wire.BigEndian.Uint16(b)
		s := string(b[2 : 2+n])
		b = b[2+n:]
		return s
	}
	switch out.kind {
	case 1:
		text() // MQTT
		flags := b[1]
		b = b[4:]
		c := &out.connect
		c.clean, c.will, c.willQoS, c.willRetain = flags&2 != 0, flags&4 != 0, flags>>3&3, flags&32 != 0
		if c.clientID = text(); c.will {
			c.willTopic, c.willWords = text(), text()
		}
	case 3:
		if out.topic = text(); out.qos > 0 {
			b = b[2:]
		}
		out.payload = string(b)
	case 8:
		for b = b[2:]; len(b) > 0; b = b[1:] {
			out.filters = append(out.filters, text())
		}
	case 14:
	default:
		return out, false
	}
	return out, true
}

// said gives the packets that fit, in order.
func (p *tap) said(fits func(packet) bool) (out []packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.packets {
		if fits(one) {
			out = append(out, one)
		}
	}
	return out
}

// index is the place of the first packet that fits, or -1.
func (p *tap) index(fits func(packet) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range p.packets {
		if fits(one) {
			return i
		}
	}
	return -1
}
