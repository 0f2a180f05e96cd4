package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Telegraf is the peer for values: its mqtt_consumer reads the same messages and
// its websocket output writes them, as JSON, to a server here that counts.
// integration/bench/telegraf pins its version; built are only the plugins that are used.
const telegrafTags = "custom,inputs.mqtt_consumer,outputs.websocket,parsers.json,serializers.json"

// telegrafConf has batches as large as what mqtt_consumer lets wait, so that a
// full one is written at once, and looks for the rest five times a second.
const telegrafConf = `[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = 100000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["%s"]
  topics = ["%s#"]
  qos = %d
  data_format = "json"
[[outputs.websocket]]
  url = "%s"
  data_format = "json"
`

// buildTelegraf builds it, once for all rounds.
func (m *machine) buildTelegraf() (string, error) {
	root, err := moduleDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.dir, "telegraf")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	m.say("building Telegraf, which takes a minute the first time")
	cmd := exec.Command("go", "build", "-tags", telegrafTags, "-o", path, "github.com/influxdata/telegraf/cmd/telegraf")
	cmd.Dir = filepath.Join(root, "integration", "bench", "telegraf")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Telegraf: %w: %s", err, lastLine(out))
	}
	return path, nil
}

func moduleDir() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// sink is a WebSocket server that counts Telegraf's metrics.
type sink struct {
	address string
	server  *http.Server
	metrics atomic.Int64
	opened  atomic.Int64 // connections
}

func startSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{address: l.Addr().String()}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l) //nolint:errcheck // ends with Close
	return s, nil
}

func (s *sink) serve(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{ReadBufferSize: 64 << 10}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	s.opened.Add(1)
	for {
		_, b, err := c.ReadMessage()
		if err != nil {
			return
		}
		s.metrics.Add(int64(bytes.Count(b, []byte(`"fields":{`))))
	}
}

func (s *sink) stop() { _ = s.server.Close() }

func (s *sink) consumed() (int64, error) { return s.metrics.Load(), nil }

const telegrafRoot = "telegraf/"

// peers measures messages of five values through the bridge and, right after,
// through Telegraf.
func (m *machine) peers(b *broker) error {
	program, err := m.buildTelegraf()
	if err != nil {
		m.table.note("Telegraf does not stand beside: %v", err)
		return nil
	}
	if err := announceValues(b.address); err != nil {
		return err
	}
	p, err := startPlatform(m.binary)
	if err != nil {
		return err
	}
	defer p.stop()
	br, err := m.startBridge(bridgeSetup{broker: b.url(), webSocket: p.webSocket(), announcements: manyAnnouncements})
	if err != nil {
		return err
	}
	defer br.stop()
	if err := br.waitThings(readyMetric, valueThings, time.Minute); err != nil {
		return err
	}
	for _, c := range []valueCase{{qos: 0, values: 5}, {qos: 1, values: 5}} {
		if err := m.besideTelegraf(b, p, br, program, c); err != nil {
			return fmt.Errorf("beside Telegraf, %s: %w", c.name(), err)
		}
	}
	return nil
}

func (m *machine) besideTelegraf(b *broker, p *platform, br *bridge, program string, c valueCase) error {
	const section = "values, memory, limit is Telegraf"
	before := br.cpu()
	ours, err := c.load(m).run(b.address, func() (int64, error) {
		s, err := p.stats()
		return int64(s.Values) / int64(c.values), err
	})
	if err != nil {
		return err
	}
	cost := (br.cpu() - before).Seconds()
	theirs, theirCost, err := m.telegraf(b, program, c)
	if err != nil {
		return err
	}
	for who, r := range map[string]loadResult{"the bridge": ours, "Telegraf": theirs} {
		if r.lost > 0 {
			m.table.note("%s, %s: of %d messages %d did not come through %s", section, c.name(), r.messages+r.lost, r.lost, who)
		}
	}
	m.table.add(section, c.name(), "messages/s", ours.perSecond(), theirs.perSecond())
	million := func(r loadResult) float64 { return float64(r.messages*c.values) / 1e6 }
	m.table.add("processor time, memory, limit is Telegraf", c.name(), "s/million values", cost/million(ours), theirCost/million(theirs))
	m.say("%s, %s: %.0f messages/s, Telegraf %.0f", section, c.name(), ours.perSecond(), theirs.perSecond())
	return nil
}

// telegraf runs one load through a Telegraf of its own, on topics of which the
// bridge hears nothing.
func (m *machine) telegraf(b *broker, program string, c valueCase) (loadResult, float64, error) {
	s, err := startSink()
	if err != nil {
		return loadResult{}, 0, err
	}
	defer s.stop()
	file := filepath.Join(m.dir, "telegraf-"+strconv.Itoa(int(c.qos))+".conf")
	conf := fmt.Sprintf(telegrafConf, b.url(), telegrafRoot, c.qos, "ws://"+s.address)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return loadResult{}, 0, err
	}
	t, err := startProcess("telegraf", program, "--config", file)
	if err != nil {
		return loadResult{}, 0, err
	}
	defer t.stop()
	if err := m.reads(b, t, s); err != nil {
		return loadResult{}, 0, err
	}
	l := c.load(m)
	for i := range l.topics {
		l.topics[i] = append([]byte(telegrafRoot), l.topics[i]...)
	}
	before := t.cpu()
	result, err := l.run(b.address, s.consumed)
	return result, (t.cpu() - before).Seconds(), err
}

// reads waits until a message has come through Telegraf, and no other comes any more.
func (m *machine) reads(b *broker, t *process, s *sink) error {
	w, err := dialWire(b.address, "bench-telegraf-probe")
	if err != nil {
		return err
	}
	defer w.close()
	var before int64
	return waitFor(startWait, 250*time.Millisecond, "a message comes through Telegraf", func() (bool, error) {
		now := s.metrics.Load()
		settled := now > 0 && now == before
		before = now
		if settled || now > 0 || s.opened.Load() == 0 {
			return settled, t.ended()
		}
		w.publish([]byte(telegrafRoot+"probe"), []byte(`{"v1":1.5}`), 0, false)
		return false, w.flush()
	})
}
