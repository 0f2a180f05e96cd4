package main

import (
	"fmt"
	"strconv"
	"time"
)

// manyAnnouncements lifts the limit on announcements out of the way; the cold
// start is measured with the default too.
const manyAnnouncements = 1_000_000

// thingAnnouncement is what the Things of the cold start say; it is the same
// for all, as devices of one kind are.
var thingAnnouncement = []byte(`{"description":"a pump","properties":{"temperature":{"type":"NUMBER","push":"VALUE","threshold":0.1},` +
	`"pressure":"NUMBER","running":"BOOLEAN"},"services":{"Reset":{"inputs":{"hard":{"type":"BOOLEAN"}},"output":{"type":"STRING"}}}}`)

func announceThings(address, prefix string, n int) error {
	w, err := dialWire(address, "bench-announcer")
	if err != nil {
		return err
	}
	defer w.close()
	return w.publishAll(n, func(i int) ([]byte, []byte) {
		return []byte("things/" + prefix + strconv.Itoa(i) + "/announce"), thingAnnouncement
	}, true)
}

// things measures a cold start of n retained Things, the memory they take, a
// platform connection that breaks, and announcements that come live.
func (m *machine) things(n, live int) error {
	b, err := startBroker(m.dir, defaultWindow, true)
	if err != nil {
		return err
	}
	defer b.stop()
	if err := announceThings(b.address, "cold-", n); err != nil {
		return fmt.Errorf("announce %d things: %w", n, err)
	}
	p, err := startPlatform(m.binary)
	if err != nil {
		return err
	}
	defer p.stop()
	started := time.Now()
	br, err := m.startBridge(bridgeSetup{broker: b.url(), webSocket: p.webSocket(), disk: true, announcements: manyAnnouncements})
	if err != nil {
		return err
	}
	defer br.stop()
	section := fmt.Sprintf("%d things", n)
	if err := m.coldStart(br, section, n, started); err != nil {
		return err
	}
	if err := m.profile(br, section+" cold start"); err != nil {
		return err
	}
	m.table.add(section, "processor time of the cold start", "s", br.cpu().Seconds(), 0)
	m.memory(br, section, n)
	if err := m.profiled(br, section+" bound again", func() error { return m.rebind(br, p, section, n) }); err != nil {
		return err
	}
	return m.profiled(br, section+" live announcements", func() error { return m.liveAnnouncements(b, br, section, n, live) })
}

func (m *machine) coldStart(br *bridge, section string, n int, started time.Time) error {
	limit := time.Minute + time.Duration(n)*5*time.Millisecond
	if err := br.waitThings(boundMetric, n, limit); err != nil {
		return fmt.Errorf("cold start: %w", err)
	}
	bound := time.Since(started)
	m.table.add(section, "cold start to bound", "s", bound.Seconds(), 0)
	if err := br.waitThings(readyMetric, n, limit); err != nil {
		return fmt.Errorf("subscriptions after the cold start: %w", err)
	}
	m.table.add(section, "cold start to subscribed", "s", time.Since(started).Seconds(), 0)
	m.say("%s: bound after %.2f s, subscribed after %.2f s", section, bound.Seconds(), time.Since(started).Seconds())
	return nil
}

// memory waits until the bridge is idle and reads what it holds.
func (m *machine) memory(br *bridge, section string, n int) {
	for range 30 {
		before := br.cpu()
		time.Sleep(time.Second)
		if br.cpu()-before < 50*time.Millisecond {
			break
		}
	}
	rss := float64(br.rss()) / 1e6
	m.table.add(section, "resident memory, idle", "MB", rss, 0)
	// The next collection is due when the heap is twice what the last one left.
	next, err := br.metric("go_memstats_next_gc_bytes")
	if err == nil {
		m.table.add(section, "heap in use for each thing", "KiB", next/2/1024/float64(n), 0)
	}
	m.say("%s: %.0f MB resident, heap in use %.0f MB", section, rss, next/2e6)
}

// rebind breaks the platform's connection and waits until all is bound again.
func (m *machine) rebind(br *bridge, p *platform, section string, n int) error {
	before, err := p.stats()
	if err != nil {
		return err
	}
	started := time.Now()
	if err := p.cut(); err != nil {
		return err
	}
	var back time.Time
	err = waitFor(2*time.Minute, lookEvery, "the bridge connects again", func() (bool, error) {
		now, err := p.stats()
		back = time.Now()
		return now.Connections > before.Connections, err
	})
	if err != nil {
		return err
	}
	if err := br.waitThings(boundMetric, n, 2*time.Minute); err != nil {
		return fmt.Errorf("after a reconnect: %w", err)
	}
	m.table.add(section, "bound again after a connection was cut", "s", time.Since(started).Seconds(), 0)
	m.table.add(section, "of that, after the connection stood again", "s", time.Since(back).Seconds(), 0)
	m.say("%s: bound again %.2f s after the cut, %.2f s after the connection", section, time.Since(started).Seconds(), time.Since(back).Seconds())
	return nil
}

// liveAnnouncements measures new devices while the bridge works.
func (m *machine) liveAnnouncements(b *broker, br *bridge, section string, n, live int) error {
	started := time.Now()
	if err := announceThings(b.address, "live-", live); err != nil {
		return err
	}
	if err := br.waitThings(boundMetric, n+live, 2*time.Minute); err != nil {
		return fmt.Errorf("live announcements: %w", err)
	}
	rate := float64(live) / time.Since(started).Seconds()
	m.table.add(section, fmt.Sprintf("%d more announced live, to bound", live), "things/s", rate, 0)
	m.say("%s: %.0f announcements/s to bound", section, rate)
	return nil
}

// defaultColdStart is a cold start with the default limit on announcements.
func (m *machine) defaultColdStart(n int) error {
	b, err := startBroker(m.dir, defaultWindow, true)
	if err != nil {
		return err
	}
	defer b.stop()
	if err := announceThings(b.address, "cold-", n); err != nil {
		return err
	}
	p, err := startPlatform(m.binary)
	if err != nil {
		return err
	}
	defer p.stop()
	started := time.Now()
	br, err := m.startBridge(bridgeSetup{broker: b.url(), webSocket: p.webSocket(), disk: true})
	if err != nil {
		return err
	}
	defer br.stop()
	if err := br.waitThings(boundMetric, n, 3*time.Minute); err != nil {
		return err
	}
	m.table.add(fmt.Sprintf("%d things", n), "cold start to bound, default announcements_per_second", "s", time.Since(started).Seconds(), 0)
	return nil
}
