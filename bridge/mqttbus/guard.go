package mqttbus

import (
	"encoding/binary"
	"time"
)

// MQTT 3.1.1 control packet types.
const (
	typeConnack   = 2
	typePublish   = 3
	typePuback    = 4
	typePubrec    = 5
	typePubrel    = 6
	typePubcomp   = 7
	typeSubscribe = 8
	typeSuback    = 9
	typeUnsuback  = 11
	typePingreq   = 12
	typePingresp  = 13
	typeGoodbye   = 14 // DISCONNECT, from a broker that uses it as in MQTT 5
)

// next reads one fixed header and decides what becomes of its packet: head and
// body are set for the library, or it is skipped and neither is.
func (c *conn) next() error {
	first, length, header, err := c.fixedHeader()
	if err != nil {
		return err
	}
	kind := first >> 4
	if !c.greeted {
		if kind != typeConnack {
			return protocolError("its first packet is of type %d, expected CONNACK", kind)
		}
		if err := c.checkConnack(length); err != nil {
			return err
		}
		c.greeted = true
		c.deliver(header, length)
		return nil
	}
	switch kind {
	case typePublish:
		return c.publish(first, length, header)
	case typePuback, typePubrec, typePubrel, typePubcomp, typeUnsuback:
		if length != 2 {
			return protocolError("a packet of type %d with %d bytes, expected 2", kind, length)
		}
	case typeSuback:
		if err := c.checkSuback(length); err != nil {
			return err
		}
	case typePingresp:
		if length != 0 {
			return protocolError("a PINGRESP with %d bytes, expected none", length)
		}
	case typeGoodbye:
		return errClosedByBroker
	default:
		return protocolError("a packet of type %d, which a broker never sends here", kind)
	}
	c.deliver(header, length)
	return nil
}

func (c *conn) deliver(header, length int) {
	c.head, c.body = c.headBuf[:header], length
}

// fixedHeader reads a packet's first byte and remaining length into headBuf.
func (c *conn) fixedHeader() (first byte, length, header int, err error) {
	if c.headBuf[0], err = c.reader.ReadByte(); err != nil {
		return 0, 0, 0, err
	}
	for i := 1; i < len(c.headBuf); i++ {
		b, err := c.reader.ReadByte()
		if err != nil {
			return 0, 0, 0, err
		}
		c.headBuf[i] = b
		length |= int(b&0x7f) << (7 * (i - 1))
		if b&0x80 == 0 {
			return c.headBuf[0], length, i + 1, nil
		}
	}
	return 0, 0, 0, protocolError("a remaining length of more than four bytes")
}

// checkConnack refuses what the library would misread: it takes a return code
// that it does not know for success.
func (c *conn) checkConnack(length int) error {
	if length != 2 {
		return protocolError("a CONNACK with %d bytes, expected 2; is it a broker for MQTT 3.1.1?", length)
	}
	b, err := c.reader.Peek(2)
	if err != nil {
		return err
	}
	if b[1] > 5 {
		return protocolError("a CONNACK with the unknown return code %d", b[1])
	}
	return nil
}

// noteSubscribe remembers how many filters a SUBSCRIBE packet holds.
func (c *conn) noteSubscribe(p []byte) {
	i := 1
	for i < len(p) && p[i]&0x80 != 0 {
		i++
	}
	i++
	if i+2 > len(p) {
		return
	}
	id := binary.BigEndian.Uint16(p[i:])
	filters := 0
	for i += 2; i+2 <= len(p); filters++ {
		i += 2 + int(binary.BigEndian.Uint16(p[i:])) + 1
	}
	c.subacks.Store(id, filters)
}

// checkSuback lets each SUBACK through once and only with one code per filter:
// the library indexes its list of filters by the codes.
func (c *conn) checkSuback(length int) error {
	if length < 2 || length > 2+maxString {
		return protocolError("a SUBACK with %d bytes", length)
	}
	b, err := c.reader.Peek(2)
	if err != nil {
		return err
	}
	id := binary.BigEndian.Uint16(b)
	want, ok := c.subacks.LoadAndDelete(id)
	if !ok {
		return protocolError("a SUBACK for packet %d, which was no open SUBSCRIBE", id)
	}
	if length-2 != want.(int) {
		return protocolError("a SUBACK with %d codes for %d filters", length-2, want)
	}
	return nil
}

// publish decides about one PUBLISH.
func (c *conn) publish(first byte, length, header int) error {
	qos := first >> 1 & 3
	if qos == 3 {
		return protocolError("a PUBLISH with quality of service 3")
	}
	if length < 2 {
		return protocolError("a PUBLISH of %d bytes", length)
	}
	b, err := c.reader.Peek(2)
	if err != nil {
		return err
	}
	topic := int(binary.BigEndian.Uint16(b))
	fixed := 2 + topic
	if qos > 0 {
		fixed += 2
	}
	payload := length - fixed
	c.lastMsg.Store(time.Now().UnixNano())
	switch {
	case payload < 0:
		return protocolError("a PUBLISH of %d bytes with a topic of %d", length, topic)
	case c.opt.inbox == nil:
		return c.skip(qos, topic, payload, dropUnexpected)
	case int64(payload) > c.opt.payloadLimit.Load():
		return c.skip(qos, topic, payload, dropTooLarge)
	}
	if !c.opt.inbox.hasRoom(topic + payload) {
		// What is retained is state, and the broker sends it once: it waits
		// like QoS 1. Live QoS 0 is all that may be lost by its own choice.
		if retained := first&1 != 0; qos == 0 && !retained {
			return c.skip(qos, topic, payload, dropInboxFull)
		}
		if err := c.waitRoom(topic + payload); err != nil {
			return err
		}
	}
	c.deliver(header, length)
	return nil
}

func (c *conn) waitRoom(size int) error {
	c.opt.metrics.inboxPauses.Inc()
	c.paused.Store(true)
	ok := c.opt.inbox.waitRoom(size, c.closed)
	c.lastMsg.Store(time.Now().UnixNano())
	c.paused.Store(false)
	if !ok {
		return c.err()
	}
	return nil
}

// skip reads over a PUBLISH whose fixed header has been read, acknowledges and
// counts it. It keeps no more of it than the start of its topic.
func (c *conn) skip(qos byte, topic, payload int, reason dropReason) error {
	if _, err := c.reader.Discard(2); err != nil {
		return err
	}
	name, err := c.reader.Peek(min(topic, 256))
	if err != nil {
		return err
	}
	text := string(name)
	if _, err := c.reader.Discard(topic); err != nil {
		return err
	}
	if qos > 0 {
		b, err := c.reader.Peek(2)
		if err != nil {
			return err
		}
		c.owed()
		c.acknowledge(qos, binary.BigEndian.Uint16(b))
		if _, err := c.reader.Discard(2); err != nil {
			return err
		}
	}
	if _, err := c.reader.Discard(payload); err != nil {
		return err
	}
	c.opt.metrics.dropped[reason].Inc()
	c.opt.skipped(text, payload, reason)
	return nil
}
