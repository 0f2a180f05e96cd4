package sparkplug

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"thingbridge/mapping"
)

// nodeBirth handles NBIRTH; nil when there is no room for the node.
func (s *session) nodeBirth(key nodeKey, n *node, m *message, t *mapping.Turn) *node {
	if n != nil {
		s.flush(n, t)
	} else if n = s.addNode(key, t.Now); n == nil {
		t.Happened("full")
		t.Refuse(m.in.Topic, mapping.ReasonTooLarge, "more than %d edge nodes", maxNodes)
		return nil
	}
	if !s.hasRoom(m, t) {
		return nil
	}
	t.Happened("node_birth")
	n.born, n.alive, n.heard = true, true, true
	n.bdSeq = bdSeq(m.payload)
	n.numbers = m.payload.Seq != nil
	if n.numbers {
		n.next = uint8(*m.payload.Seq) + 1
	}
	n.asked, n.askAgain, n.tries = time.Time{}, time.Time{}, 0
	n.aliases = map[uint64]*known{}
	n.own = s.index(n.own, nil, m.payload)
	n.alias(n.own, nil, m, t)
	n.bornTill = time.Time{}
	for _, d := range n.devices {
		d.born = false
		if d.missing = d.online; d.missing {
			n.bornTill = t.Now.Add(s.opt.grace)
		}
	}
	s.passBirth(n, nil, m, t)
	return n
}

func (s *session) hasRoom(m *message, t *mapping.Turn) bool {
	if s.metrics+len(m.payload.Metrics) > maxKnown {
		s.forgetDead(t.Now)
	}
	if s.metrics+len(m.payload.Metrics) > maxKnown {
		t.Happened("full")
		t.Refuse(m.in.Topic, mapping.ReasonTooLarge, "more than %d metrics in all births", maxKnown)
		return false
	}
	return true
}

// bdSeq is the number that a node's birth and death have in common; -1: none.
func bdSeq(p *Payload) int64 {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == bdSeqName && !m.Null {
			if n, err := m.Value.plain(UInt64, 0); err == nil {
				if n, ok := n.(int); ok {
					return int64(n)
				}
			}
		}
	}
	return -1
}

// nodeDeath handles NDEATH. It counts when it is of the birth that is known; when
// none is, because messages may have been missed, it counts too: a node that lives
// will say so, and is then asked.
func (s *session) nodeDeath(n *node, m *message, t *mapping.Turn) {
	if n == nil {
		t.Happened("death_unknown")
		return
	}
	if number := bdSeq(m.payload); n.born && number >= 0 && n.bdSeq >= 0 && number != n.bdSeq {
		t.Happened("death_stale")
		return
	}
	t.Happened("node_death")
	s.flush(n, t)
	s.die(n, t)
}

// die takes a node and its devices away.
func (s *session) die(n *node, t *mapping.Turn) {
	n.born, n.alive, n.numbers = false, false, false
	n.aliases = nil
	n.askAgain, n.bornTill, n.heardTill = time.Time{}, time.Time{}, time.Time{}
	t.Pass(mapping.Input{Topic: s.topic(n, "NDEATH", ""), Now: t.Now})
	for _, name := range slices.Sorted(maps.Keys(n.devices)) {
		s.dead(n, n.devices[name], t)
	}
}

// dead takes a device away.
func (s *session) dead(n *node, d *device, t *mapping.Turn) {
	d.born, d.missing = false, false
	if d.online {
		d.online = false
		t.Pass(mapping.Input{Topic: s.topic(n, "DDEATH", d.name), Now: t.Now})
	}
}

// lost takes the devices away that did not come back with their node.
func (s *session) lost(n *node, t *mapping.Turn) {
	gone := 0
	for _, name := range slices.Sorted(maps.Keys(n.devices)) {
		if d := n.devices[name]; d.missing {
			gone++
			t.Happened("device_lost")
			s.dead(n, d, t)
		}
	}
	if gone > 0 {
		t.Tell("lost/"+n.String(), "devices did not come back with their edge node; they count as dead", "node", cut(n.String()), "devices", gone)
	}
}

func (s *session) topic(n *node, kind, device string) string {
	topic := s.opt.namespace + "/" + n.group + "/" + kind + "/" + n.node
	if device != "" {
		topic += "/" + device
	}
	return topic
}

// numbered handles DBIRTH, DDEATH, NDATA and DDATA, which stand in one order.
func (s *session) numbered(n *node, m *message, t *mapping.Turn) {
	if !n.numbers || m.payload.Seq == nil {
		s.apply(n, m, t)
		return
	}
	number := uint8(*m.payload.Seq)
	switch distance := number - n.next; {
	case distance == 0:
		n.next++
		s.apply(n, m, t)
		s.drain(n, t)
	case distance <= maxAhead && s.opt.reorder > 0 && s.wait(n, number, m, t):
	case distance <= maxAhead:
		t.Happened("gap")
		s.takeFrom(n, number, m, t)
	default: // a number again, or one that is late
		t.Happened("out_of_order")
		if len(n.ahead) > 0 { // it is no reason to give up those that wait
			s.apply(n, m, t)
			return
		}
		s.takeFrom(n, number, m, t)
	}
}

// takeFrom goes on with a message although others are missing before it.
func (s *session) takeFrom(n *node, number uint8, m *message, t *mapping.Turn) {
	s.flush(n, t)
	n.next = number + 1
	s.apply(n, m, t)
	s.ask(n, "messages are missing", t)
}

// wait keeps a message that is ahead; false when there is no room for it.
func (s *session) wait(n *node, number uint8, m *message, t *mapping.Turn) bool {
	size := len(m.in.Topic) + len(m.in.Payload)
	i, twice := slices.BinarySearchFunc(n.ahead, number, func(w waiting, number uint8) int {
		return int(w.number-n.next) - int(number-n.next)
	})
	for ; twice && i < len(n.ahead) && n.ahead[i].number == number; i++ {
		if n.ahead[i].in.Topic == m.in.Topic && bytes.Equal(n.ahead[i].in.Payload, m.in.Payload) {
			t.Happened("repeated")
			return true
		}
	}
	if s.ahead+size > maxAheadSize || len(n.ahead) >= 2*maxAhead { // one number may have come with several payloads
		t.Happened("full")
		return false
	}
	t.Happened("ahead")
	w := waiting{number: number, in: *m.in}
	w.in.Payload = slices.Clone(m.in.Payload)
	n.ahead = slices.Insert(n.ahead, i, w)
	s.ahead += size
	if n.aheadTill.IsZero() {
		n.aheadTill = t.Now.Add(s.opt.reorder)
	}
	return true
}

// drain goes on with what waited and has its turn now.
func (s *session) drain(n *node, t *mapping.Turn) {
	for len(n.ahead) > 0 && (n.ahead[0].number == n.next || n.ahead[0].number == n.next-1) { // the latter came twice
		s.next(n, t)
	}
	if len(n.ahead) == 0 {
		n.aheadTill = time.Time{}
	}
}

// next goes on with the first that waits.
func (s *session) next(n *node, t *mapping.Turn) {
	w := n.ahead[0]
	n.ahead[0] = waiting{}
	n.ahead = n.ahead[1:]
	s.ahead -= len(w.in.Topic) + len(w.in.Payload)
	n.next = w.number + 1
	if _, m, ok := s.read(&w.in, t); ok {
		s.apply(n, m, t)
	}
}

// flush goes on with all that waits, in order.
func (s *session) flush(n *node, t *mapping.Turn) {
	for len(n.ahead) > 0 {
		s.next(n, t)
	}
	n.ahead, n.aheadTill = nil, time.Time{}
}

// giveUpWaiting goes on without the messages that have not come.
func (s *session) giveUpWaiting(n *node, t *mapping.Turn) {
	t.Happened("gap")
	s.flush(n, t)
	s.ask(n, "messages are missing", t)
}

// apply carries out a message that has its turn.
func (s *session) apply(n *node, m *message, t *mapping.Turn) {
	switch m.kind {
	case "DBIRTH":
		s.deviceBirth(n, m, t)
	case "DDEATH":
		t.Happened("device_death")
		if d := n.devices[m.device]; d != nil {
			s.dead(n, d, t)
		}
	case "NDATA", "DDATA":
		s.data(n, m, t)
	default:
		t.Refuse(m.in.Topic, mapping.ReasonMalformed, "%q is no kind of message that an edge node sends", cut(m.kind))
	}
}

func (s *session) deviceBirth(n *node, m *message, t *mapping.Turn) {
	if !n.born {
		t.Happened("unborn")
		t.Refuse(m.in.Topic, mapping.ReasonIdentity, "the birth of the edge node %s has not come", n)
		s.ask(n, "its birth has not come", t)
		return
	}
	d := s.addDevice(n, m.device, t.Now)
	if d == nil {
		t.Happened("full")
		t.Refuse(m.in.Topic, mapping.ReasonTooLarge, "more than %d devices", maxDevices)
		return
	}
	if !s.hasRoom(m, t) {
		return
	}
	t.Happened("device_birth")
	n.unalias(d)
	d.metrics = s.index(d.metrics, d, m.payload)
	d.aliases = n.alias(d.metrics, d, m, t)
	d.born, d.online, d.missing = true, true, false
	s.passBirth(n, d, m, t)
}
