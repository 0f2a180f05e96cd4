package sparkplug

import (
	"maps"
	"slices"
	"strings"
	"time"

	"thingbridge/mapping"
)

// Limits of what a session remembers.
const (
	maxNodes     = 10_000      // edge nodes
	maxDevices   = 100_000     // devices, over all nodes
	maxStrangers = 10_000      // nodes that are not known and were asked for their births
	maxAhead     = 127         // messages of one node that wait for those before them: half the numbers
	maxAheadSize = 16 << 20    // bytes of these, over all nodes
	forgetPause  = time.Minute // between two looks for dead nodes when there is no room
	rebirthTries = 3           // requests that are repeated by time alone
	maxKnown     = 2_000_000   // metrics, over all nodes
)

// session is the state of one namespace.
type session struct {
	opt   options
	limit int // of a payload
	nodes map[nodeKey]*node
	due   map[*node]struct{} // nodes that wait for a time
	// asked is when nodes that are not known were asked for their births.
	asked   map[nodeKey]time.Time
	devices int
	metrics int
	ahead   int       // bytes
	forgot  time.Time // when dead nodes were forgotten last, to make room
}

type nodeKey struct{ group, node string }

func (k nodeKey) String() string { return k.group + "/" + k.node }

// node is one edge node, from its first birth on.
type node struct {
	nodeKey
	born    bool    // its birth came on this connection to the broker
	alive   bool    // no death since
	bdSeq   int64   // of its birth; -1: it had none
	next    uint8   // the number that is expected
	numbers bool    // next is known
	heard   bool    // anything came since the broker was connected
	own     metrics // of the node itself
	aliases map[uint64]*known
	devices map[string]*device
	ahead   []waiting // by number

	asked     time.Time // for its births, last
	tries     int       // since its last birth
	askAgain  time.Time // zero: not
	aheadTill time.Time // zero: nothing waits
	bornTill  time.Time // devices that were there must be born by then; zero: none
	heardTill time.Time // it must show itself by then; zero: it need not
}

// device is one device of a node.
type device struct {
	metrics
	name    string
	aliases []uint64 // of its metrics
	born    bool     // since the node's last birth
	online  bool
	missing bool // was there before the node's last birth
}

// metrics are what a birth lists, by name.
type metrics map[string]*known

// known is one metric of a birth.
type known struct {
	property string // "": none
	kind     DataType
	of       *device // nil: of the node
	aliased  bool    // it has an alias of this birth
}

// message is one message of a node, read.
type message struct {
	in      *mapping.Input
	kind    string // the topic's word
	device  string
	payload *Payload
}

// waiting is a message that came ahead of others. It is the session's own.
type waiting struct {
	number uint8
	in     mapping.Input
}

func newSession(params map[string]any, lim mapping.Limits) (mapping.Session, error) {
	opt, err := optionsOf(params)
	if err != nil {
		return nil, err
	}
	return &session{opt: opt, limit: lim.PayloadBytes, nodes: map[nodeKey]*node{}, due: map[*node]struct{}{}, asked: map[nodeKey]time.Time{}}, nil
}

// Message implements mapping.Session.
func (s *session) Message(in *mapping.Input, t *mapping.Turn) {
	key, m, ok := s.read(in, t)
	if !ok {
		return
	}
	n := s.nodes[key]
	if n != nil {
		n.heard, n.heardTill = true, time.Time{}
	}
	switch {
	case m.kind == "NBIRTH":
		if n = s.nodeBirth(key, n, m, t); n == nil {
			return
		}
	case m.kind == "NDEATH":
		s.nodeDeath(n, m, t)
	case n == nil:
		s.stranger(key, m, t)
		return
	default:
		s.numbered(n, m, t)
	}
	if n != nil {
		s.plan(n, t)
	}
}

// read takes a message apart; false when it comes to nothing.
func (s *session) read(in *mapping.Input, t *mapping.Turn) (key nodeKey, m *message, ok bool) {
	levels := strings.Split(in.Topic, "/")
	if len(levels) < 4 || len(levels) > 5 || levels[1] == "" || levels[3] == "" {
		t.Refuse(in.Topic, mapping.ReasonMalformed, "not a topic of Sparkplug: group, kind of message, edge node and device are wanted")
		return key, nil, false
	}
	for _, level := range levels {
		if len(level) > maxLevel {
			t.Refuse(in.Topic, mapping.ReasonMalformed, "a name of %d bytes in the topic; %d are taken", len(level), maxLevel)
			return key, nil, false
		}
	}
	m = &message{in: in, kind: levels[2]}
	if len(levels) == 5 {
		m.device = levels[4]
	}
	if strings.HasPrefix(m.kind, "D") != (len(levels) == 5) || len(levels) == 5 && m.device == "" {
		t.Refuse(in.Topic, mapping.ReasonMalformed, "a %s is of %s", cut(m.kind), map[bool]string{true: "a device", false: "an edge node"}[strings.HasPrefix(m.kind, "D")])
		return key, nil, false
	}
	if in.Retained {
		t.Happened("retained")
		t.Refuse(in.Topic, mapping.ReasonMalformed, "the message is retained, which Sparkplug forbids: it may be of any time")
		return key, nil, false
	}
	p, err := Parse(in.Payload)
	if err == nil {
		p, err = p.unpacked(s.limit)
	}
	if len(in.Payload) == 0 && !strings.HasSuffix(m.kind, "DEATH") {
		err = ErrMalformed
	}
	if err != nil {
		t.Happened("malformed")
		t.Refuse(in.Topic, mapping.ReasonMalformed, "%s", err)
		return key, nil, false
	}
	m.payload = p
	return nodeKey{levels[1], levels[3]}, m, true
}

// maxLevel bounds the names of groups, nodes and devices, in bytes; a Thing's name,
// which they are parts of, is no longer.
const maxLevel = 4 * 255

// stranger handles what comes from a node whose birth never came.
func (s *session) stranger(key nodeKey, m *message, t *mapping.Turn) {
	t.Happened("unborn")
	t.Refuse(m.in.Topic, mapping.ReasonIdentity, "the birth of the edge node %s has not come: nothing says what its messages mean", key)
	if last, ok := s.asked[key]; ok && t.Now.Sub(last) < s.opt.rebirth {
		return
	}
	if len(s.asked) >= maxStrangers {
		clear(s.asked)
	}
	s.asked[key] = t.Now
	t.Tell("rebirth/"+key.String(), "edge node is asked for its births", "node", cut(key.String()), "why", "its birth has not come")
	s.request(key, t)
}

// request sends the command that asks a node for its births.
func (s *session) request(key nodeKey, t *mapping.Turn) {
	payload, err := Command(rebirthName, Boolean, true, t.Now)
	if err != nil {
		return
	}
	t.Happened("rebirth_request")
	t.Ask(mapping.Publication{Topic: s.opt.namespace + "/" + key.group + "/NCMD/" + key.node, Payload: payload, AtMostOnce: true})
}

// ask asks a known node, unless it was asked just now, and tells why.
func (s *session) ask(n *node, why string, t *mapping.Turn) {
	if s.askQuietly(n, t) {
		t.Tell("rebirth/"+n.String(), "edge node is asked for its births", "node", cut(n.String()), "why", why)
	}
}

func (s *session) askQuietly(n *node, t *mapping.Turn) bool {
	if !n.asked.IsZero() && t.Now.Sub(n.asked) < s.opt.rebirth {
		t.Happened("rebirth_throttled")
		return false
	}
	n.asked = t.Now
	if n.tries++; n.tries < rebirthTries {
		n.askAgain = t.Now.Add(s.opt.rebirth)
	} else {
		n.askAgain = time.Time{}
	}
	s.request(n.nodeKey, t)
	return true
}

// Elapsed implements mapping.Session.
func (s *session) Elapsed(t *mapping.Turn) {
	over := func(at time.Time) bool { return !at.IsZero() && !t.Now.Before(at) }
	for _, n := range s.inOrder(maps.Keys(s.due)) {
		if over(n.aheadTill) {
			s.giveUpWaiting(n, t)
		}
		if over(n.bornTill) {
			n.bornTill = time.Time{}
			s.lost(n, t)
		}
		if over(n.heardTill) {
			n.heardTill = time.Time{}
			t.Happened("silent")
			t.Tell("silent/"+n.String(), "edge node does not show itself since the broker lost the session; it counts as dead", "node", cut(n.String()))
			s.die(n, t)
		}
		if over(n.askAgain) {
			n.askAgain = time.Time{}
			s.askQuietly(n, t)
		}
		s.plan(n, t)
	}
}

func (s *session) inOrder(nodes func(func(*node) bool)) []*node {
	return slices.SortedFunc(nodes, func(a, b *node) int { return strings.Compare(a.String(), b.String()) })
}

// plan has Elapsed called for the node's next time.
func (s *session) plan(n *node, t *mapping.Turn) {
	delete(s.due, n)
	for _, at := range []time.Time{n.aheadTill, n.bornTill, n.heardTill, n.askAgain} {
		if !at.IsZero() {
			s.due[n] = struct{}{}
			t.WakeAt(at)
		}
	}
}

// Disconnected implements mapping.Session: what follows may lack messages before it.
func (s *session) Disconnected(t *mapping.Turn) {
	for _, n := range s.inOrder(maps.Values(s.nodes)) {
		s.flush(n, t)
		n.born, n.numbers, n.heard = false, false, false
		n.aliases = nil
		n.asked, n.askAgain, n.tries, n.bornTill, n.heardTill = time.Time{}, time.Time{}, 0, time.Time{}, time.Time{}
		delete(s.due, n)
	}
}

// Connected implements mapping.Session: every node is asked, since nothing that
// it says is retained.
func (s *session) Connected(kept bool, t *mapping.Turn) {
	asked := 0
	for _, n := range s.inOrder(maps.Values(s.nodes)) {
		if n.born {
			continue
		}
		if s.askQuietly(n, t) {
			asked++
		}
		if !kept && n.alive && !n.heard {
			n.heardTill = t.Now.Add(s.opt.grace)
		}
		s.plan(n, t)
	}
	if asked > 0 {
		t.Note("edge nodes are asked for their births", "nodes", asked, "why", "the bridge was not connected")
	}
}

// Known implements mapping.Session. Whether the node is alive is not known; a
// death of one that is not does no harm.
func (s *session) Known(d *mapping.Device) {
	if len(d.Parts) == 0 {
		return
	}
	part := d.Parts[len(d.Parts)-1]
	levels := strings.Split(part.Source, "/")
	p, err := Parse(part.Payload)
	if err != nil || len(levels) < 4 {
		return
	}
	n := s.addNode(nodeKey{levels[1], levels[3]}, time.Time{})
	if n == nil {
		return
	}
	n.alive = true
	if len(levels) == 4 {
		n.own = s.index(n.own, nil, p)
		return
	}
	if dev := s.addDevice(n, levels[4], time.Time{}); dev != nil {
		dev.metrics = s.index(dev.metrics, dev, p)
		dev.online = true
	}
}

// addNode gives the node, which is made if there is room.
func (s *session) addNode(key nodeKey, now time.Time) *node {
	n := s.nodes[key]
	if n == nil && len(s.nodes) >= maxNodes {
		s.forgetDead(now)
	}
	if n == nil && len(s.nodes) < maxNodes {
		key.group, key.node = strings.Clone(key.group), strings.Clone(key.node)
		n = &node{nodeKey: key, bdSeq: -1, devices: map[string]*device{}}
		s.nodes[key] = n
		delete(s.asked, key)
	}
	return n
}

// forgetDead forgets the nodes and devices that are dead, once in a while when
// there is no room: all that had a name in years would fill the tables.
func (s *session) forgetDead(now time.Time) {
	if now.Sub(s.forgot) < forgetPause {
		return
	}
	s.forgot = now
	for key, n := range s.nodes {
		gone := !n.alive && !n.born && len(n.ahead) == 0
		for name, d := range n.devices {
			if gone || !d.online && !d.born {
				n.unalias(d)
				s.devices--
				s.metrics -= len(d.metrics)
				delete(n.devices, name)
			}
		}
		if gone {
			s.metrics -= len(n.own)
			delete(s.nodes, key)
			delete(s.due, n)
		}
	}
}

func (s *session) addDevice(n *node, name string, now time.Time) *device {
	d := n.devices[name]
	if d == nil && s.devices >= maxDevices {
		s.forgetDead(now)
	}
	if d == nil && s.devices < maxDevices {
		s.devices++
		d = &device{name: strings.Clone(name)}
		n.devices[d.name] = d
	}
	return d
}

// index gives the metrics of a birth, in place of those it listed before. of is
// nil for the node itself.
func (s *session) index(before metrics, of *device, p *Payload) metrics {
	out := metrics{} // of a size that its names decide: a birth may list one again and again
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name != "" {
			out[m.Name] = &known{kind: m.Type, of: of}
		}
	}
	properties, _ := list(p, of == nil) // the decoder tells what is left out
	for _, l := range properties {
		out[l.Name].property = l.property
	}
	s.metrics += len(out) - len(before)
	return out
}

// unalias forgets the aliases of a device's metrics.
func (n *node) unalias(d *device) {
	for _, alias := range d.aliases {
		if k := n.aliases[alias]; k != nil && k.of == d {
			delete(n.aliases, alias)
		}
	}
	d.aliases = nil
}

// alias makes the metrics of a birth known by their aliases; it gives these. Where a
// name or an alias is there twice the last counts, so that there are no more aliases
// than names.
func (n *node) alias(named metrics, of *device, m *message, t *mapping.Turn) []uint64 {
	var given []uint64
	for i := len(m.payload.Metrics) - 1; i >= 0; i-- {
		metric := &m.payload.Metrics[i]
		k := named[metric.Name]
		if metric.Alias == nil || metric.Name == "" || k.aliased {
			continue
		}
		alias := *metric.Alias
		other := n.aliases[alias]
		if other != nil && other.of == of { // of this birth
			continue
		}
		if other != nil {
			t.Happened("alias_clash")
			t.Refuse(m.in.Topic, mapping.ReasonIdentity, "the alias %d of the metric %q is that of another device's metric; the later counts", alias, cut(metric.Name))
		}
		k.aliased = true
		n.aliases[alias] = k
		given = append(given, alias)
	}
	return given
}
