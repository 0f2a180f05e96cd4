package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultWindow = 20   // Mosquitto's max_inflight_messages
	largeWindow   = 1000 // what is measured beside it
)

// plan bounds a run.
type plan struct {
	rounds   int
	messages int           // of one load, at most
	loadTime time.Duration // of publishing one load
	window   int           // messages that a load is ahead
	callTime time.Duration // of one kind of call, each way
	inFlight []int         // calls at once
	cold     []int         // Things of the cold starts
	live     int           // Things announced live
	all      bool          // every kind of message in every mode
}

func shortPlan() plan {
	return plan{rounds: 1, messages: 200_000, loadTime: time.Second, window: 8000, callTime: time.Second, cold: []int{10_000}, live: 2000}
}

func fullPlan() plan {
	return plan{rounds: 3, messages: 1_000_000, loadTime: 2 * time.Second, window: 8000, callTime: 2 * time.Second,
		cold: []int{10_000, 100_000}, live: 5000, all: true}
}

// valueCases are the kinds of message; with a large window only those at QoS 1,
// which alone it touches.
func (p plan) valueCases(window int) (cases []valueCase) {
	for _, qos := range []byte{0, 1} {
		if qos == 0 && window != defaultWindow {
			continue
		}
		for _, n := range []int{1, 5, mostValues} {
			if p.all || n == 5 {
				cases = append(cases, valueCase{qos: qos, values: n})
			}
		}
		cases = append(cases, valueCase{qos: qos, values: 5, profile: true})
	}
	return cases
}

// aims are the ratios and times that the table is held against.
func aims() map[string]*aim {
	return map[string]*aim{
		"calls/64 in flight":                     ratioAtLeast(0.7),
		"calls/1 in flight, p50":                 ratioAtMost(1.7),
		"calls/p99 at half of the highest rate":  atMost(10, "ms"),
		"values, memory/QoS 0, 5 values, native": ratioAtLeast(0.5),
		"values, disk/QoS 1, 5 values, native":   ratioAtLeast(0.3),
		"values, disk/QoS 1, 1 values, native":   ratioAtLeast(0.3),
		"values, disk/QoS 1, 20 values, native":  ratioAtLeast(0.3),
		"10000 things/cold start to bound":       atMost(1.5, "s"),
		"100000 things/cold start to bound":      atMost(15, "s"),
		"100000 things/resident memory, idle":    atMost(400, "MB"),
	}
}

// machine is one run of everything.
type machine struct {
	plan     plan
	only     string
	profiles string // directory for profiles; "": none
	dir      string // of everything that is written
	binary   string
	table    *table
	progress io.Writer

	interrupted atomic.Bool
}

func (m *machine) say(format string, args ...any) { fmt.Fprintf(m.progress, format+"\n", args...) }

func (m *machine) wants(part string) bool { return m.only == "" || strings.Contains(m.only, part) }

// run measures round by round. What was measured stands in the table also when
// it fails.
func (m *machine) run() error {
	if err := m.build(); err != nil {
		return err
	}
	for round := range m.plan.rounds {
		m.say("round %d of %d", round+1, m.plan.rounds)
		if err := m.round(); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

func (m *machine) round() error {
	if m.wants("calls") {
		if err := m.withBroker(defaultWindow, true, func(b *broker) error { return m.calls(b, "", m.plan.inFlight) }); err != nil {
			return err
		}
	}
	if m.wants("values") {
		if err := m.withBroker(defaultWindow, true, func(b *broker) error { return m.values(b, "") }); err != nil {
			return err
		}
	}
	if m.only == "" && m.plan.all || m.wants("telegraf") && m.only != "" {
		if err := m.withBroker(defaultWindow, true, m.peers); err != nil {
			return err
		}
	}
	if m.wants("window") {
		if err := m.windows(); err != nil {
			return err
		}
	}
	if m.wants("things") {
		for _, n := range m.plan.cold {
			if err := m.things(n, m.plan.live); err != nil {
				return fmt.Errorf("%d things: %w", n, err)
			}
		}
		return m.defaultColdStart(m.plan.cold[0])
	}
	return nil
}

// windows measures what the broker's settings change.
func (m *machine) windows() error {
	large := fmt.Sprintf(", window %d", largeWindow)
	err := m.withBroker(largeWindow, true, func(b *broker) error { return m.calls(b, large, []int{64, 256}) })
	if err != nil {
		return err
	}
	if err := m.withBroker(largeWindow, true, func(b *broker) error { return m.values(b, large) }); err != nil {
		return err
	}
	return m.withBroker(defaultWindow, false, func(b *broker) error { return m.calls(b, ", no tcp_nodelay", []int{1, 64}) })
}

func (m *machine) withBroker(window int, noDelay bool, do func(*broker) error) error {
	b, err := startBroker(m.dir, window, noDelay)
	if err != nil {
		return err
	}
	defer b.stop()
	return do(b)
}

// where says what the numbers were measured on.
func where() string {
	version, _ := exec.Command("mosquitto", "-h").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	return fmt.Sprintf("%s, %s/%s, %d processors; %s; %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		first, time.Now().UTC().Format(time.DateOnly))
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == subscriberCommand {
		if err := serveBareSubscriber(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errInterrupted = errors.New("interrupted")

// endOnSignal ends the run after the present measurement, so that the table shows
// what there is; a second signal ends it at once. The kernel ends the children with us.
func (m *machine) endOnSignal() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		m.interrupted.Store(true)
		<-signals
		_ = os.RemoveAll(m.dir)
		os.Exit(1)
	}()
}

func measure() error {
	full := flag.Bool("full", false, "three rounds of everything, with 100,000 Things; without it one short round")
	rounds := flag.Int("rounds", 0, "how many rounds, instead of the mode's own number")
	only := flag.String("only", "", "parts to measure, of calls,values,telegraf,window,things; empty: all, telegraf only with -full")
	profiles := flag.String("profiles", "", "directory for profiles of the bridge, one set for each measurement; they cost a little")
	program := flag.String("program", "", "a thingbridge that is built already, to compare two; without it this tree is built")
	inFlight := flag.Int("in-flight", 0, "calls at once, instead of 1, 16, 64 and 256 one after the other")
	flag.Parse()
	m := &machine{plan: shortPlan(), only: *only, profiles: *profiles, binary: *program, table: &table{aims: aims()}, progress: os.Stderr}
	if *full {
		m.plan = fullPlan()
	}
	if *rounds > 0 {
		m.plan.rounds = *rounds
	}
	m.plan.inFlight = inFlights
	if *inFlight > 0 {
		m.plan.inFlight = []int{*inFlight}
	}
	var err error
	if m.dir, err = os.MkdirTemp("", "thingbridge-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	if m.profiles != "" {
		if err := os.MkdirAll(m.profiles, 0o755); err != nil {
			return err
		}
		if err := os.Setenv("THINGBRIDGE_BENCH_PROFILE", m.dir); err != nil {
			return err
		}
	}
	m.endOnSignal()
	started := time.Now()
	err = m.run()
	fmt.Printf("%s\n%d rounds in %v; medians\n\n", where(), m.plan.rounds, time.Since(started).Round(time.Second))
	if printErr := m.table.print(os.Stdout); err == nil {
		err = printErr
	}
	return err
}
