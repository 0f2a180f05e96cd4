package main

import (
	"errors"
	"fmt"
	"time"
)

var inFlights = []int{1, 16, 64, 256}

// calls measures calls straight over MQTT and through the bridge, one kind
// right after the other.
func (m *machine) calls(b *broker, window string, inFlights []int) error {
	d, err := startDevices(b.address)
	if err != nil {
		return err
	}
	defer d.stop()
	direct, err := startDirectCaller(b.address)
	if err != nil {
		return err
	}
	defer direct.stop()
	p, err := startCallPlatform()
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	br, err := m.startBridge(bridgeSetup{broker: b.url(), webSocket: p.WSURL(), disk: true, announcements: manyAnnouncements})
	if err != nil {
		return err
	}
	defer br.stop()
	if err := br.waitThings(readyMetric, callThings, time.Minute); err != nil {
		return err
	}
	// The first calls of each way are not measured.
	closedLoop(16, m.plan.callTime/4, direct.call)
	closedLoop(16, m.plan.callTime/4, p.caller())
	best := 0.0
	for _, n := range inFlights {
		err := m.profiled(br, fmt.Sprintf("calls %d in flight", n), func() error {
			rate, err := m.callRound(br, "calls"+window, n, direct.call, p.caller())
			best = max(best, rate)
			return err
		})
		if err != nil {
			return err
		}
	}
	if window != "" {
		return nil
	}
	half := openLoop(best/2, m.plan.callTime, p.caller())
	if err := half.err("at half of the highest rate"); err != nil {
		return err
	}
	m.table.add("calls", "p99 at half of the highest rate", "ms", milliseconds(half.p99), 0)
	m.table.add("calls", "p50 at half of the highest rate", "ms", milliseconds(half.p50), 0)
	return nil
}

func (m *machine) callRound(br *bridge, section string, n int, direct, through caller) (float64, error) {
	limit, got, cpu := alternate(n, m.plan.callTime, direct, through, br.cpu)
	if err := errors.Join(got.err("through the bridge"), limit.err("direct")); err != nil {
		return 0, fmt.Errorf("%d in flight: %w", n, err)
	}
	name := fmt.Sprintf("%d in flight", n)
	m.table.add(section, name, "calls/s", got.perSecond, limit.perSecond)
	m.table.add(section, name+", p50", "ms", milliseconds(got.p50), milliseconds(limit.p50))
	m.table.add(section, name+", p99", "ms", milliseconds(got.p99), milliseconds(limit.p99))
	m.table.add("processor time, "+section, name, "s/million calls", cpu.Seconds()/float64(got.calls)*1e6, 0)
	m.say("%s, %s: %.0f calls/s p50 %v p99 %v; direct %.0f calls/s p50 %v p99 %v; CPU %.0f µs/call", section, name,
		got.perSecond, got.p50, got.p99, limit.perSecond, limit.p50, limit.p99, cpu.Seconds()/float64(got.calls)*1e6)
	return got.perSecond, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
