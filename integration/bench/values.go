package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	valueThings = 100
	mostValues  = 20
	meterSites  = 10
)

// valueCase is one kind of message.
type valueCase struct {
	qos     byte
	values  int
	profile bool
}

func (c valueCase) name() string {
	how := "native"
	if c.profile {
		how = "profile with expressions"
	}
	return fmt.Sprintf("QoS %d, %d values, %s", c.qos, c.values, how)
}

// meterProfile reads the same messages under another topic, each value by an
// expression.
func meterProfile() string {
	var b strings.Builder
	b.WriteString("profiles:\n  - preset: native\n  - name: meter\n    thing: meter-${site}-${id}\n" +
		"    announce: {topic: \"meters/{site}/{id}/hello\", define: payload}\n    properties:\n")
	for _, n := range []int{1, 5, 20} {
		fmt.Fprintf(&b, "      - topic: meters/{site}/{id}/telemetry%d\n        values:\n", n)
		for i := range n {
			fmt.Fprintf(&b, "          v%d: {value: 'payload.v%d * 1.8 + 32', type: NUMBER}\n", i+1, i+1)
		}
	}
	return b.String()
}

// announceValues makes the Things of both ways known, retained.
func announceValues(address string) error {
	w, err := dialWire(address, "bench-announcer")
	if err != nil {
		return err
	}
	defer w.close()
	var definition strings.Builder
	definition.WriteString(`{"properties":{`)
	for i := range mostValues {
		if i > 0 {
			definition.WriteByte(',')
		}
		fmt.Fprintf(&definition, `"v%d":{"type":"NUMBER","push":"ALWAYS"}`, i+1)
	}
	definition.WriteString("}}")
	return w.publishAll(2*valueThings, func(i int) ([]byte, []byte) {
		if i < valueThings {
			return []byte("things/load-" + strconv.Itoa(i) + "/announce"), []byte(definition.String())
		}
		return []byte("meters/" + meterOf(i-valueThings) + "/hello"), []byte(definition.String())
	}, true)
}

func meterOf(i int) string { return strconv.Itoa(i%meterSites) + "/" + strconv.Itoa(i) }

func (c valueCase) load(m *machine) *load {
	l := &load{names: valueNames(c.values), qos: c.qos, count: m.plan.messages, limit: m.plan.loadTime, window: m.plan.window}
	for i := range valueThings {
		topic := "things/load-" + strconv.Itoa(i) + "/properties"
		if c.profile {
			topic = "meters/" + meterOf(i) + "/telemetry" + strconv.Itoa(c.values)
		}
		l.topics = append(l.topics, []byte(topic))
	}
	return l
}

// values measures every kind of message once through a bridge that keeps its
// outbox in memory, and once through one that keeps it on disk, each right after
// the bare subscriber.
func (m *machine) values(b *broker, window string) error {
	if err := announceValues(b.address); err != nil {
		return err
	}
	for _, disk := range []bool{false, true} {
		if err := m.valuesThrough(b, window, disk); err != nil {
			return err
		}
	}
	return nil
}

// bare measures the limit of one kind of message, on topics of which the bridge
// hears nothing.
func (m *machine) bare(b *broker, c valueCase) (float64, error) {
	s, err := startBareSubscriber(b.address, c.qos, []string{bareRoot + "#"})
	if err != nil {
		return 0, err
	}
	defer s.stop()
	l := c.load(m)
	for i := range l.topics {
		l.topics[i] = append([]byte(bareRoot), l.topics[i]...)
	}
	result, err := l.run(b.address, s.count)
	if err != nil {
		return 0, err
	}
	if result.lost > 0 {
		m.table.note("%s: the bare subscriber lost %d messages", c.name(), result.lost)
	}
	return result.perSecond(), nil
}

const bareRoot = "bare/"

func (m *machine) valuesThrough(b *broker, window string, disk bool) error {
	p, err := startPlatform(m.binary)
	if err != nil {
		return err
	}
	defer p.stop()
	br, err := m.startBridge(bridgeSetup{broker: b.url(), webSocket: p.webSocket(), disk: disk, profiles: meterProfile(), announcements: manyAnnouncements})
	if err != nil {
		return err
	}
	defer br.stop()
	if err := br.waitThings(readyMetric, 2*valueThings, time.Minute); err != nil {
		return err
	}
	section := "values, memory" + window
	if disk {
		section = "values, disk" + window
	}
	for _, c := range m.plan.valueCases(b.window) {
		limit, err := m.bare(b, c)
		if err != nil {
			return fmt.Errorf("bare subscriber, %s: %w", c.name(), err)
		}
		consumed := func() (int64, error) {
			s, err := p.stats()
			return int64(s.Values) / int64(c.values), err
		}
		if err := m.profiled(br, section+" "+c.name(), func() error {
			return m.valueRound(br, b, section, c, limit, consumed)
		}); err != nil {
			return fmt.Errorf("%s, %s: %w", section, c.name(), err)
		}
	}
	return nil
}

func (m *machine) valueRound(br *bridge, b *broker, section string, c valueCase, limit float64, consumed func() (int64, error)) error {
	before, brokerBefore := br.cpu(), b.cpu()
	result, err := c.load(m).run(b.address, consumed)
	if err != nil {
		return err
	}
	if result.lost > 0 {
		m.table.note("%s, %s: %d of %d messages did not arrive", section, c.name(), result.lost, result.messages+result.lost)
	}
	m.table.add(section, c.name(), "messages/s", result.perSecond(), limit)
	n := float64(result.messages*c.values) / 1e6
	m.table.add("processor time"+strings.TrimPrefix(section, "values"), c.name(), "s/million values", (br.cpu()-before).Seconds()/n, 0)
	m.say("%s, %s: %.0f messages/s (%.0f values/s), bare %.0f; CPU bridge %.2f s, broker %.2f s in %.2f s", section, c.name(),
		result.perSecond(), result.perSecond()*float64(c.values), limit, (br.cpu() - before).Seconds(), (b.cpu() - brokerBefore).Seconds(), result.elapsed.Seconds())
	return nil
}
