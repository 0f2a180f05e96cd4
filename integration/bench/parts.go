package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const appKey = "an-application-key-for-measuring"

// platform is the program's simulated platform in a process of its own.
type platform struct {
	*process
	address string
	http    *http.Client
}

func startPlatform(binary string) (*platform, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := startProcess("simulated platform", binary, "simulate", "platform", "--listen", address, "--app-key", appKey)
	if err != nil {
		return nil, err
	}
	if err := p.upOn(address); err != nil {
		p.stop()
		return nil, err
	}
	return &platform{process: p, address: address, http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}, nil
}

func (p *platform) webSocket() string { return "ws://" + p.address + "/Thingworx/WS" }

// platformStats are the counters that are used here.
type platformStats struct {
	Connections   uint64
	Values        uint64
	ValuesDropped uint64
	Calls         uint64
}

func (p *platform) stats() (platformStats, error) {
	var s platformStats
	resp, err := p.http.Get("http://" + p.address + "/simulator/stats")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// cut breaks the edge's connection.
func (p *platform) cut() error {
	resp, err := p.http.Post("http://"+p.address+"/simulator/faults", "application/json", strings.NewReader(`{"kind":"cut"}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cut the platform's connections: %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// bridge is the program itself.
type bridge struct {
	*process
	console string
	http    *http.Client
}

// bridgeSetup is what the measurements vary.
type bridgeSetup struct {
	broker, webSocket string
	disk              bool   // data directory and outbox are on disk
	announcements     int    // per second; 0: the default
	profiles          string // YAML; "": native alone
}

const bridgeConf = `platform:
  url: %s
  app_key: %s
mqtt:
  broker: %s
  client_id: %s
data_dir: %q
outbox: {replay_rate: 0}
console: {listen: %q, metrics_public: true}
log: {level: warn}
%s`

func (m *machine) startBridge(s bridgeSetup) (*bridge, error) {
	console, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(m.dir, "bridge-")
	if err != nil {
		return nil, err
	}
	data := ""
	if s.disk {
		data = filepath.Join(dir, "data")
	}
	more := s.profiles
	if s.announcements > 0 {
		more += fmt.Sprintf("limits: {announcements_per_second: %d, things: 200000}\n", s.announcements)
	}
	file := filepath.Join(dir, "thingbridge.yaml")
	conf := fmt.Sprintf(bridgeConf, s.webSocket, appKey, s.broker, filepath.Base(dir), data, console, more)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p, err := startProcess("thingbridge run", m.binary, "run", "--config", file)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableCompression: true}}
	return &bridge{process: p, console: console, http: client}, nil
}

// metric reads one sample of the bridge's metrics by its name with labels.
func (b *bridge) metric(names ...string) (sum float64, err error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	resp, err := b.http.Get("http://" + b.console + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return sumMetrics(resp.Body, names)
}

func sumMetrics(r io.Reader, names []string) (sum float64, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		for _, name := range names {
			if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
				v, err := strconv.ParseFloat(rest, 64)
				if err != nil {
					return 0, fmt.Errorf("metric %s: %w", name, err)
				}
				sum += v
			}
		}
	}
	return sum, lines.Err()
}

// What of the Things the bridge tells.
const (
	boundMetric = "thingbridge_platform_things_bound" // the platform has them
	readyMetric = `thingbridge_things{state="ready"}` // and has said what it subscribes
)

// waitThings waits until at least n Things are in a state. For its metrics the
// bridge looks at every Thing, so that looking is rarer the more there are.
func (b *bridge) waitThings(state string, n int, limit time.Duration) error {
	var last float64
	every := max(lookEvery, time.Duration(n)*2500*time.Nanosecond)
	err := waitFor(limit, every, fmt.Sprintf("%d things in %s", n, state), func() (bool, error) {
		got, err := b.metric(state)
		if err != nil {
			if b.ended() == nil {
				return false, nil // the console does not listen yet
			}
			return false, err
		}
		last = got
		return int(got) >= n, nil
	})
	if err != nil {
		return fmt.Errorf("%w (last seen %.0f)", err, last)
	}
	return nil
}
