package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	soakThings   = 200
	soakSample   = 5 * time.Second
	soakCut      = 30 * time.Second // between two reconnects, of the platform and the broker in turn
	soakOutage   = 3 * time.Second
	soakCalm     = 12 * time.Second // after an outage, before a sample counts
	soakCallRate = 500 * time.Millisecond
)

// soakLimits say by how much the end may be above the beginning.
var soakLimits = map[string]struct{ share, plus float64 }{
	"memory MiB": {0.05, 8}, "goroutines": {0, 10}, "file handles": {0, 5},
}

// TestSoak runs the bridge for SOAK_MINUTES at a steady load of values and calls,
// makes both sides connect anew every now and then, and wants memory, goroutines
// and file handles to be flat once it is warm.
func TestSoak(t *testing.T) {
	minutes := numberVar(t, "SOAK_MINUTES", 0)
	if minutes == 0 {
		t.Skip("SOAK_MINUTES is not set; make soak sets it")
	}
	b := newBroker(t)
	plat := newPlatform(t)
	front := newProxy(t, "platform", plat.address)
	br := newBridge(t, b, plat.webSocket(front.Listen), "")
	br.waitReady()
	start(t, "devices", binary, "simulate", "devices", "--broker", b.url(), "--count", strconv.Itoa(soakThings), "--interval", "1s", "--prefix", "soak-")
	s := &soak{bridge: br, began: time.Now(), calls: map[int]int{}}
	ctx, stop := context.WithTimeout(t.Context(), time.Duration(minutes)*time.Minute)
	defer stop()
	var callers sync.WaitGroup
	callers.Go(func() { s.call(ctx, plat) })
	cuts := []struct {
		what    string
		off, on func()
	}{
		{"platform", front.Stop, func() { up(t, front) }},
		{"broker", b.proxy.Stop, func() { up(t, b.proxy) }},
	}
	s.run(ctx, t, func(n int) {
		c := cuts[n%len(cuts)]
		c.off()
		time.Sleep(soakOutage)
		c.on()
	})
	callers.Wait()
	br.waitReady()
	eventually(t, "everything has gone out", func() string {
		if n := br.metric("thingbridge_outbox_records "); n > soakThings {
			return fmt.Sprintf("%v records wait", n)
		}
		return ""
	})
	if lost := br.metric("thingbridge_outbox_dropped_total"); lost > 0 {
		t.Errorf("%v values were dropped", lost)
	}
	if n := br.metric(`thingbridge_things{state="ready"}`); n != soakThings {
		t.Errorf("%v of %d Things are ready at the end", n, soakThings)
	}
	if s.calls[200] == 0 {
		t.Errorf("no call succeeded: %v", s.calls)
	}
	t.Log(s.table())
	for _, r := range trends(s.warm()) {
		if !r.flat {
			t.Errorf("%s is not flat: %.1f at first, %.1f at the end, at most %.1f is", r.name, r.first, r.last, r.most)
		}
	}
}

type soak struct {
	bridge  *bridge
	began   time.Time
	samples []soakSampled
	cuts    int
	calls   map[int]int // by HTTP status
}

// soakSampled is what the bridge used at a time.
type soakSampled struct {
	at     time.Duration // since the beginning
	calm   bool
	values map[string]float64
}

// run samples, and calls cut now and then, until ctx ends.
func (s *soak) run(ctx context.Context, t *testing.T, cut func(n int)) {
	tick := time.NewTicker(soakSample)
	defer tick.Stop()
	quiet := s.began
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.samples = append(s.samples, soakSampled{at: now.Sub(s.began), calm: now.Sub(quiet) >= soakCalm, values: s.sample(t)})
			if now.Sub(quiet) >= soakCut {
				cut(s.cuts)
				s.cuts++
				quiet = time.Now()
			}
		}
	}
}

func (s *soak) sample(t *testing.T) map[string]float64 {
	handles, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.bridge.p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("no figures of processes here: %v", err)
	}
	v := map[string]float64{"file handles": float64(len(handles))}
	for name, metric := range map[string]string{
		"memory MiB": "process_resident_memory_bytes ", "heap MiB": "go_memstats_heap_alloc_bytes ", "goroutines": "go_goroutines ",
		"values": `thingbridge_values_total{outcome="sent"}`, "waiting": "thingbridge_outbox_records ", "outbox MiB": "thingbridge_outbox_file_bytes ",
	} {
		v[name] = s.bridge.metric(metric)
		if strings.HasSuffix(name, "MiB") {
			v[name] /= 1 << 20
		}
	}
	return v
}

// call has the platform call devices, one after the other.
func (s *soak) call(ctx context.Context, plat *platform) {
	tick := time.NewTicker(soakCallRate)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a := plat.call(fmt.Sprintf("soak-%d", i%soakThings+1), "Add", map[string]any{"a": i, "b": 1})
			s.calls[a.code]++
		}
	}
}

// warm gives the calm samples after the first third of the time.
func (s *soak) warm() (warm []map[string]float64) {
	for _, x := range s.samples {
		if x.calm && x.at >= time.Since(s.began)/3 {
			warm = append(warm, x.values)
		}
	}
	return warm
}

// table shows about twenty samples.
func (s *soak) table() string {
	columns := []string{"memory MiB", "heap MiB", "goroutines", "file handles", "values", "waiting", "outbox MiB"}
	var b strings.Builder
	fmt.Fprintf(&b, "%d Things, a value each second of each; %d reconnects; calls by status %v\n%8s", soakThings, s.cuts, s.calls, "time")
	for _, c := range columns {
		fmt.Fprintf(&b, "%14s", c)
	}
	for i := 0; i < len(s.samples); i += max(1, len(s.samples)/20) {
		x := s.samples[i]
		fmt.Fprintf(&b, "\n%8s", x.at.Round(time.Second))
		for _, c := range columns {
			fmt.Fprintf(&b, "%14.1f", x.values[c])
		}
	}
	for _, r := range trends(s.warm()) {
		fmt.Fprintf(&b, "\n%-14s %.1f at first, %.1f at the end, at most %.1f: flat %v", r.name, r.first, r.last, r.most, r.flat)
	}
	return b.String()
}

// trend compares the first and the last quarter of samples by their medians.
type trend struct {
	name              string
	first, last, most float64
	flat              bool
}

func trends(samples []map[string]float64) []trend {
	var all []trend
	for _, name := range []string{"memory MiB", "goroutines", "file handles"} {
		r := trend{name: name}
		if n := len(samples) / 4; n > 0 {
			r.first, r.last = median(samples[:n], name), median(samples[len(samples)-n:], name)
			r.most = r.first*(1+soakLimits[name].share) + soakLimits[name].plus
			r.flat = r.first > 0 && r.last <= r.most
		}
		all = append(all, r)
	}
	return all
}

func median(samples []map[string]float64, name string) float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, s[name])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func TestATrendIsFlatOrNot(t *testing.T) {
	series := func(f func(i int) float64) (samples []map[string]float64) {
		for i := range 40 {
			samples = append(samples, map[string]float64{"memory MiB": f(i), "goroutines": 100, "file handles": 20})
		}
		return samples
	}
	for name, c := range map[string]struct {
		samples []map[string]float64
		flat    bool
	}{
		"steady":           {series(func(int) float64 { return 50 }), true},
		"noise":            {series(func(i int) float64 { return 50 + 20*float64(i%2) }), true},
		"one peak":         {series(func(i int) float64 { return 50 + 500*float64(i/39) }), true},
		"growing":          {series(func(i int) float64 { return 50 + float64(i) }), false},
		"too few to judge": {series(func(int) float64 { return 50 })[:3], false},
	} {
		if got := trends(c.samples)[0].flat; got != c.flat {
			t.Errorf("%s: flat is %v", name, got)
		}
	}
}
