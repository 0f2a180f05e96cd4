package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"thingbridge/bridge/devicesim"
)

const (
	reloadThings = 1000
	reloadRate   = 2000 // messages a second, over all Things
)

// reloaded has profiles and limits that the configuration at the start has not.
const reloaded = `
profiles:
  - name: valve
    thing: valve-${id}
    announce: {topic: "valves/{id}/hello"}
    properties: [{topic: "valves/{id}/data", values: payload}]
  - preset: native
limits: {calls: 900}
log: {level: warn}
`

// replace puts a text in the place of the configuration, as editors and package
// tools do.
func (b *bridge) replace(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.config+".new", []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.config+".new", b.config); err != nil {
		b.t.Fatal(err)
	}
}

// figure reads one figure of /metrics.
func (b *bridge) figure(name string) (float64, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + b.console + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no %s among the metrics", name)
}

func (b *bridge) mustMetric(name string) float64 {
	b.t.Helper()
	v, err := b.figure(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

const reloadsOK = `thingbridge_config_reloads_total{outcome="ok"}`

// waitReloads waits until so many reloads have gone well.
func (b *bridge) waitReloads(n float64) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%v reloads", n), func() string {
		if got, err := b.figure(reloadsOK); err != nil || got < n {
			return fmt.Sprint(got, err)
		}
		return ""
	})
}

// TestReloadsLoseNothing changes the configuration again and again while values
// flow and calls are in flight.
func TestReloadsLoseNothing(t *testing.T) {
	br, s, load, stop := loaded(t)
	original, err := os.ReadFile(br.config)
	if err != nil {
		t.Fatal(err)
	}
	figures := []string{"thingbridge_mqtt_sessions_total", "thingbridge_platform_binds_total", "thingbridge_platform_reconnects_total"}
	before := map[string]float64{}
	for _, name := range figures {
		before[name] = br.mustMetric(name)
	}
	var calls sync.WaitGroup
	failed := make(chan string, 100)
	for i := range 8 {
		calls.Go(func() {
			a := s.call("slow-1", "Wait", map[string]any{"n": i})
			if a.code != http.StatusOK || !strings.Contains(a.body, "done") {
				failed <- fmt.Sprintf("call %d: %d %s", i, a.code, a.body)
			}
		})
		br.replace(string(original) + []string{reloaded, "# as before\n"}[i%2])
		br.waitReloads(float64(i + 1))
	}
	calls.Wait()
	close(failed)
	for why := range failed {
		t.Error(why)
	}
	stop()
	for _, name := range figures {
		if now := br.mustMetric(name); now != before[name] {
			t.Errorf("%s went from %v to %v: something was bound or connected anew", name, before[name], now)
		}
	}
	judgeLoad(t, s, load)
}

// loaded is a bridge with Things whose values flow, and a device that takes a
// second for an answer. stop ends the flow.
func loaded(t *testing.T) (br *bridge, s *platform, load *devicesim.Load, stop func()) {
	t.Helper()
	b := newBroker(t)
	s = newPlatform(t)
	br = newBridge(t, b, s.webSocket(s.address), "")
	br.waitReady()
	load, err := devicesim.NewLoad(devicesim.LoadOptions{
		Access: devicesim.Access{Broker: b.deviceURL()}, Things: reloadThings, Rate: reloadRate, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := load.Announce(ctx); err != nil {
		t.Fatal(err)
	}
	slow := newDevice(t, b, "slow")
	slow.announce("slow-1", `{"services":{"Wait":{"inputs":{"n":"INTEGER"},"output":"STRING"}}}`)
	slow.serve("slow-1", "Wait", func(string) string {
		time.Sleep(time.Second) // a slow machine
		return `{"result":"done"}`
	})
	eventuallyWithin(t, 3*patience, "all are bound", func() string {
		if _, ready, err := s.connected(); err != nil || len(ready) < reloadThings+1 {
			return fmt.Sprint(len(ready), err)
		}
		return ""
	})
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "values flow", func() string {
		if load.Sent() < reloadRate {
			return fmt.Sprint(load.Sent(), " were sent")
		}
		return ""
	})
	return br, s, load, stop
}

// judgeLoad wants every number that the broker acknowledged at the platform, once
// and in order.
func judgeLoad(t *testing.T, s *platform, load *devicesim.Load) {
	t.Helper()
	total, lost, disordered := int64(0), int64(0), 0
	for thing, acked := range load.Acknowledged() {
		var got []pushed
		eventually(t, thing+" has all its values", func() string {
			var err error
			if got, err = s.pushes(thing); err != nil || int64(len(got)) < acked {
				return fmt.Sprint(len(got), " of ", acked, " ", err)
			}
			return ""
		})
		last := int64(0)
		for _, p := range got {
			n, err := strconv.ParseInt(strings.Trim(string(p.Value), `"`), 10, 64)
			if err != nil {
				t.Fatalf("%s: %s is no number", thing, p.Value)
			}
			switch {
			case n != last+1 && n > last:
				lost += n - last - 1
			case n <= last:
				disordered++
			}
			last = max(last, n)
		}
		total += acked
	}
	t.Logf("%d values, %d lost, %d out of order or twice", total, lost, disordered)
	if lost > 0 || disordered > 0 {
		t.Errorf("of %d values %d were lost and %d out of order or twice", total, lost, disordered)
	}
}

// TestManyReloadsLeaveTheProcessAsItWas alternates two configurations and
// watches what the process holds.
func TestManyReloadsLeaveTheProcessAsItWas(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "")
	br.waitReady()
	d := newDevice(t, b, "fleet")
	var fleet []string
	for i := range 100 {
		fleet = append(fleet, fmt.Sprintf("fleet-%02d", i))
		d.announce(fleet[i], "{}")
	}
	s.waitBound(fleet...)
	original, err := os.ReadFile(br.config)
	if err != nil {
		t.Fatal(err)
	}
	binds := br.mustMetric("thingbridge_platform_binds_total")
	held := func() (goroutines, heap, files float64) {
		return br.mustMetric("go_goroutines"), br.mustMetric("go_memstats_heap_inuse_bytes"), br.mustMetric("process_open_fds")
	}
	rounds := 60
	if os.Getenv("CHAOS") == "1" {
		rounds = 200
	}
	var goroutines, heap, files float64
	for i := range rounds {
		br.replace(string(original) + []string{reloaded, "# as before\n"}[i%2])
		if code, out := runOnce(t, "reload", "--console", "http://"+br.console); code != 0 {
			t.Fatalf("reload %d: %s", i, out)
		}
		if i == rounds/4 {
			goroutines, heap, files = held()
		}
	}
	// What is no longer needed is let go a second later.
	eventually(t, "the process is as large as before", func() string {
		g, h, f := held()
		said := fmt.Sprintf("after %d reloads %v goroutines, %.1f MiB, %v files; after %d %v, %.1f MiB, %v",
			rounds/4, goroutines, heap/(1<<20), files, rounds, g, h/(1<<20), f)
		if g > goroutines+10 || f > files+5 || h > 2*heap+8<<20 {
			return said
		}
		t.Log(said)
		return ""
	})
	if now := br.mustMetric("thingbridge_platform_binds_total"); now != binds {
		t.Errorf("%v BINDs, %v before the reloads", now, binds)
	}
}

// TestAChangedFileIsTakenHoweverItIsChanged edits the file of a running bridge as
// people and tools do.
func TestAChangedFileIsTakenHoweverItIsChanged(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "log: {level: info}\n")
	br.waitReady()
	original, err := os.ReadFile(br.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(level string) string { return strings.Replace(string(original), "level: info", "level: "+level, 1) }
	write := func(text string) {
		if err := os.WriteFile(br.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := 0.0
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"written in place", func() { write(changed("warn")) }},
		{"renamed over", func() { br.replace(changed("error")) }},
		{"emptied for a moment", func() {
			write("")
			write(changed("warn"))
		}},
		{"turned into a link", func() {
			far := filepath.Join(t.TempDir(), "far.yaml")
			if err := os.WriteFile(far, []byte(changed("debug")), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(br.config); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(far, br.config); err != nil {
				t.Fatal(err)
			}
		}},
		{"asked for by SIGHUP", func() {
			if err := br.p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		step.do()
		good++
		br.waitReloads(good)
	}
	if n := br.mustMetric(`thingbridge_config_reloads_total{outcome="refused"}`); n != 0 {
		t.Errorf("%v configurations were refused", n)
	}
	write(changed("debug") + "limts: {}\n")
	eventually(t, "the bad file is refused", func() string {
		if n, err := br.figure("thingbridge_config_reload_last_successful"); err != nil || n != 0 {
			return fmt.Sprint(n, err)
		}
		return ""
	})
	if code, out := runOnce(t, "status", "--console", "http://"+br.console); code != 0 || !strings.Contains(out, "limts: unknown key") {
		t.Errorf("status: %d %s", code, out)
	}
	if strings.Count(br.p.output(), "limts") != 1 {
		t.Error("the problem is not told once")
	}
	if code, out := runOnce(t, "reload", "--console", "http://"+br.console); code != 1 || !strings.Contains(out, "limts") {
		t.Errorf("reload: %d %s", code, out)
	}
	br.waitReady()
}
