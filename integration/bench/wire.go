package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// MQTT 3.1.1 packet types, in their place of the first byte.
const (
	packetConnect   = 0x10
	packetConnack   = 0x20
	packetPublish   = 0x30
	packetPuback    = 0x40
	packetSubscribe = 0x82
	packetSuback    = 0x90
)

// wire is a bare MQTT connection: it encodes into one buffer and writes when
// told to, which is how load stays cheap. Writing and reading may be two goroutines.
type wire struct {
	conn   net.Conn
	r      *bufio.Reader
	out    []byte
	nextID uint16
	body   []byte // of the packet read last
}

// incoming is one packet read. Its slices are good until the next read.
type incoming struct {
	kind    byte
	topic   []byte
	payload []byte
	qos     byte
	id      uint16
}

// dialWire connects with a clean session and without keep-alive.
func dialWire(address, clientID string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	w := newWire(conn)
	w.out = append(w.out, packetConnect)
	w.out = appendLength(w.out, 10+2+len(clientID))
	w.out = append(w.out, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0)
	w.out = appendText(w.out, clientID)
	err = w.flush()
	var in incoming
	if err == nil {
		err = w.read(&in)
	}
	if err == nil && (in.kind != packetConnack || len(w.body) < 2 || w.body[1] != 0) {
		err = errors.New("the broker refused the connection")
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect %s to %s: %w", clientID, address, err)
	}
	return w, nil
}

func newWire(conn net.Conn) *wire { return &wire{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)} }

func (w *wire) close() { w.conn.Close() }

func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func appendText[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// packetID gives the next id; it is never 0.
func (w *wire) packetID() uint16 {
	if w.nextID++; w.nextID == 0 {
		w.nextID = 1
	}
	return w.nextID
}

// publish adds a message to what flush writes.
func (w *wire) publish(topic, payload []byte, qos byte, retain bool) {
	first := byte(packetPublish) | qos<<1
	if retain {
		first |= 1
	}
	size := 2 + len(topic) + len(payload)
	if qos > 0 {
		size += 2
	}
	w.out = append(w.out, first)
	w.out = appendLength(w.out, size)
	w.out = appendText(w.out, topic)
	if qos > 0 {
		w.out = binary.BigEndian.AppendUint16(w.out, w.packetID())
	}
	w.out = append(w.out, payload...)
}

// ack adds the acknowledgement of a message.
func (w *wire) ack(id uint16) {
	w.out = append(w.out, packetPuback, 2, byte(id>>8), byte(id))
}

// subscribe asks for filters at QoS 1 and waits for the answer. It must come
// before anything else is read.
func (w *wire) subscribe(filters ...string) error {
	size := 2
	for _, f := range filters {
		size += 3 + len(f)
	}
	w.out = append(w.out, packetSubscribe)
	w.out = appendLength(w.out, size)
	w.out = binary.BigEndian.AppendUint16(w.out, w.packetID())
	for _, f := range filters {
		w.out = append(appendText(w.out, f), 1)
	}
	if err := w.flush(); err != nil {
		return err
	}
	var in incoming
	if err := w.read(&in); err != nil {
		return err
	}
	if in.kind != packetSuback {
		return fmt.Errorf("packet 0x%02X instead of the answer to a SUBSCRIBE", in.kind)
	}
	for _, code := range w.body[2:] {
		if code > 2 {
			return fmt.Errorf("the broker refused a subscription (0x%02X)", code)
		}
	}
	return nil
}

func (w *wire) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return err
}

// read reads one packet.
func (w *wire) read(in *incoming) error {
	first, err := w.r.ReadByte()
	if err != nil {
		return err
	}
	size, err := binary.ReadUvarint(w.r) // the same seven bits to a byte
	if err != nil {
		return err
	}
	if size > 1<<20 {
		return fmt.Errorf("a packet of %d bytes", size)
	}
	if cap(w.body) < int(size) {
		w.body = make([]byte, size)
	}
	w.body = w.body[:size]
	if _, err := io.ReadFull(w.r, w.body); err != nil {
		return err
	}
	*in = incoming{kind: first & 0xF0}
	switch {
	case in.kind == packetPublish:
		return in.parsePublish(first, w.body)
	case in.kind == packetPuback && len(w.body) >= 2:
		in.id = binary.BigEndian.Uint16(w.body)
	}
	return nil
}

func (in *incoming) parsePublish(first byte, body []byte) error {
	in.qos = first >> 1 & 3
	head := 2
	if in.qos > 0 {
		head = 4
	}
	if len(body) < head || len(body) < head+int(binary.BigEndian.Uint16(body)) {
		return errors.New("a PUBLISH that is cut off")
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	in.topic = body[2:n]
	if in.qos > 0 {
		in.id = binary.BigEndian.Uint16(body[n:])
		n += 2
	}
	in.payload = body[n:]
	return nil
}

// settle reads acknowledgements until n of them have come.
func (w *wire) settle(n int) error {
	var in incoming
	for n > 0 {
		if err := w.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if err := w.read(&in); err != nil {
			return fmt.Errorf("%d acknowledgements are missing: %w", n, err)
		}
		if in.kind == packetPuback {
			n--
		}
	}
	return w.conn.SetReadDeadline(time.Time{})
}

// publishAll publishes messages at QoS 1, a thousand at a time, and waits for
// their acknowledgements.
func (w *wire) publishAll(n int, message func(i int) (topic, payload []byte), retain bool) error {
	const batch = 1000
	for from := 0; from < n; from += batch {
		to := min(from+batch, n)
		for i := from; i < to; i++ {
			topic, payload := message(i)
			w.publish(topic, payload, 1, retain)
		}
		if err := w.flush(); err != nil {
			return err
		}
		if err := w.settle(to - from); err != nil {
			return err
		}
	}
	return nil
}
