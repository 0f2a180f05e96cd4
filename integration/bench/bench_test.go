package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == subscriberCommand {
		if err := serveBareSubscriber(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func needMosquitto(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Skip("no mosquitto in PATH")
	}
}

func TestAShortRunMeasuresEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker, platforms and bridges")
	}
	needMosquitto(t)
	m := &machine{
		plan: plan{rounds: 1, messages: 2000, loadTime: 100 * time.Millisecond, window: 1000, callTime: 50 * time.Millisecond, cold: []int{50}, live: 10},
		dir:  t.TempDir(), table: &table{aims: aims()}, progress: io.Discard,
	}
	if err := m.build(); err != nil {
		t.Fatal(err)
	}
	err := m.withBroker(defaultWindow, true, func(b *broker) error { return m.calls(b, "", []int{1, 16}) })
	if err == nil {
		err = m.withBroker(largeWindow, true, func(b *broker) error { return m.values(b, "") })
	}
	if err == nil {
		err = m.things(50, 10)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(m.table.notes) > 0 {
		t.Errorf("something was lost: %q", m.table.notes)
	}
	var out strings.Builder
	if err := m.table.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"calls: 16 in flight, p99", "values, memory: QoS 1, 5 values, native", "values, disk: QoS 1, 5 values, profile",
		"50 things: cold start to bound", "bound again after"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no row %q:\n%s", want, out.String())
		}
	}
	for _, r := range m.table.rows {
		if v := median(r.values); !(v > 0) && !strings.HasPrefix(r.section, "processor time") {
			t.Errorf("%s: %s is %v; want more than nothing", r.section, r.name, v)
		}
	}
}

func TestTheTableComparesWithinTheRound(t *testing.T) {
	tab := &table{aims: map[string]*aim{"calls/fast": ratioAtLeast(0.5), "calls/slow": ratioAtMost(1.5)}}
	for _, v := range [][2]float64{{10, 40}, {30, 40}, {20, 20}} {
		tab.add("calls", "fast", "1/s", v[0], v[1])
		tab.add("calls", "slow", "ms", 3*v[0], v[1])
	}
	tab.note("%d lost", 3)
	tab.note("%d lost", 3)
	if got := tab.rows[0].ratio(); got != 0.75 {
		t.Errorf("ratio %v; want the median of 0.25, 0.75 and 1", got)
	}
	var out strings.Builder
	if err := tab.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"", "", "yes |", "no |"} {
		if want != "" && !strings.HasSuffix(strings.Join(strings.Fields(lines[i]), " "), want) {
			t.Errorf("line %q; want %q at its end", lines[i], want)
		}
	}
	if strings.Count(out.String(), "3 lost") != 1 {
		t.Errorf("a note must stand there once:\n%s", out.String())
	}
}

func TestPacketsCanBeReadBack(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	w := &wire{conn: ours, nextID: 65535}
	topic, payload := []byte("things/a/properties"), []byte(strings.Repeat("x", 300))
	w.publish(topic, payload, 1, true)
	w.publish(topic, nil, 0, false)
	w.ack(0x1234)
	sent := append([]byte(nil), w.out...)
	go func() { _, _ = theirs.Write(sent) }()
	r := newWire(ours)
	for i, want := range []incoming{
		{kind: packetPublish, topic: topic, payload: payload, qos: 1, id: 1},
		{kind: packetPublish, topic: topic, payload: nil},
		{kind: packetPuback, id: 0x1234},
	} {
		var got incoming
		if err := r.read(&got); err != nil {
			t.Fatal(err)
		}
		if got.kind != want.kind || string(got.topic) != string(want.topic) || string(got.payload) != string(want.payload) || got.qos != want.qos || got.id != want.id {
			t.Errorf("packet %d: %+v; want %+v", i, got, want)
		}
	}
}

func TestAPublishThatIsCutOffIsAnError(t *testing.T) {
	for _, body := range []string{"", "\x00", "\x00\x05abc", "\x00\x03abc"} {
		var in incoming
		if err := in.parsePublish(0x32, []byte(body)); err == nil {
			t.Errorf("%q at QoS 1 was read as %+v", body, in)
		}
	}
}

func TestTheKernelsNumbersAreRead(t *testing.T) {
	stat := "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0"
	if got := parseCPU(stat); got != 3*time.Second {
		t.Errorf("processor time %v; want 3s", got)
	}
	if got := parseRSS("Name:\tx\nVmRSS:\t    1024 kB\nThreads:\t1\n"); got != 1<<20 {
		t.Errorf("resident memory %d; want 1 MiB", got)
	}
}

func TestALoadsMessagesChange(t *testing.T) {
	l := &load{names: valueNames(2)}
	a, b := string(l.message(nil, 1)), string(l.message(nil, 2))
	if a != `{"v1":1001.2,"v2":1002.2}` || a == b {
		t.Errorf("%s, then %s", a, b)
	}
}
