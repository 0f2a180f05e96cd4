package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// matrix is a bridge between one broker and a platform.
type matrix struct {
	t  testing.TB
	b  *broker
	s  *platform
	br *bridge
	d  *device
}

// soon waits like eventually and gives the last reason instead of failing.
func soon(ok func() string) string {
	const limit = 12 * time.Second
	tick := time.NewTicker(look)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		why := ok()
		if why == "" || time.Since(start) > limit {
			return why
		}
	}
}

func (m *matrix) bound(s *platform, thing string, want bool) string {
	return soon(func() string {
		bound, ready, err := s.connected()
		if err != nil {
			return err.Error()
		}
		if want && !slices.Contains(ready, thing) || !want && slices.Contains(bound, thing) {
			return fmt.Sprintf("%s bound: %v", thing, !want)
		}
		return ""
	})
}

// counter announces a Thing whose property n is always pushed.
func (m *matrix) counter(thing string) string {
	m.d.announce(thing, `{"properties": {"n": {"type": "NUMBER", "push": "ALWAYS"}}}`)
	return m.bound(m.s, thing, true)
}

// count publishes n = from … to without waiting in between, and waits for the broker's word for each.
func (m *matrix) count(thing string, from, to int) {
	m.t.Helper()
	var tokens []mqtt.Token
	for n := from; n <= to; n++ {
		tokens = append(tokens, m.d.client.Publish("things/"+thing+"/properties/n", 1, false, fmt.Sprint(n)))
	}
	for _, token := range tokens {
		m.d.finish(token, "publish a value of "+thing)
	}
}

// counted waits for all of 1 … last, the first of each in order.
func (m *matrix) counted(thing string, last int) string {
	return soon(func() string {
		all, err := m.s.pushes(thing)
		if err != nil {
			return err.Error()
		}
		next, late := 1, 0
		for _, v := range all {
			switch n := string(v.Value); {
			case n == fmt.Sprint(next):
				next++
			case len(n) > len(fmt.Sprint(next)) || len(n) == len(fmt.Sprint(next)) && n > fmt.Sprint(next):
				late++
			}
		}
		if next != last+1 || late != 0 {
			return fmt.Sprintf("%d values of %d came in order, %d too early", next-1, last, late)
		}
		return ""
	})
}

func (m *matrix) device(name string) {
	m.t.Helper()
	m.d = newDevice(m.t, m.b, name)
}

// anew runs look with a bridge that has never seen the broker, and a platform of its own.
func (m *matrix) anew(look func(s *platform) string) string {
	s := newPlatform(m.t)
	br := newBridge(m.t, m.b, s.webSocket(s.address), "")
	br.waitReady()
	why := look(s)
	br.p.stop(m.t)
	s.p.stop(m.t)
	return why
}

// rows are what the bridge needs of a broker, in this order; each says "" or what went wrong.
var rows = []struct {
	name string
	try  func(m *matrix) string
}{
	{"a device that announces itself is bound", func(m *matrix) string { return m.counter("counter-1") }},
	{"values at QoS 1 arrive, all and in order", func(m *matrix) string {
		m.count("counter-1", 1, 500)
		return m.counted("counter-1", 500)
	}},
	{"calls are answered, many at a time", calls},
	{"a will takes the Thing offline", func(m *matrix) string {
		kill := startDevice(m.t, m.b, "mortal-1")
		if why := m.bound(m.s, "mortal-1", true); why != "" {
			return why
		}
		kill()
		return m.bound(m.s, "mortal-1", false)
	}},
	{"an announcement that is taken back takes the Thing away", func(m *matrix) string {
		if why := m.counter("guest-1"); why != "" {
			return why
		}
		m.d.announce("guest-1", "")
		return m.bound(m.s, "guest-1", false)
	}},
	{"values sent while the bridge is stopped arrive afterwards, in order", func(m *matrix) string {
		if why := m.counter("stopped-1"); why != "" {
			return why
		}
		m.br.p.stop(m.t)
		m.count("stopped-1", 1, 400)
		m.br.start()
		return m.counted("stopped-1", 400)
	}},
	{"a new bridge finds what was announced before it", func(m *matrix) string {
		return m.anew(func(s *platform) string { return m.bound(s, "counter-1", true) })
	}},
	{"after the broker's restart all goes on", func(m *matrix) string {
		if why := m.counter("restart-1"); why != "" {
			return why
		}
		m.restart()
		m.br.waitReady()
		if why := m.bound(m.s, "restart-1", true); why != "" {
			return why
		}
		m.count("restart-1", 1, 100)
		return m.counted("restart-1", 100)
	}},
	{"announcements survive the broker's restart", func(m *matrix) string {
		m.d.listen("things/counter-1/announce")
		return soon(func() string {
			if got := m.d.got("things/counter-1/announce"); len(got) != 1 || !got[0].retained {
				return fmt.Sprintf("%d came", len(got))
			}
			return ""
		})
	}},
	{"values wait for a stopped bridge through the broker's restart", func(m *matrix) string {
		if why := m.counter("waiting-1"); why != "" {
			return why
		}
		m.br.p.stop(m.t)
		m.count("waiting-1", 1, 100)
		m.restart()
		m.br.start()
		m.br.waitReady()
		return m.counted("waiting-1", 100)
	}},
}

// restart ends the broker as an operator does, starts it again, and connects the device.
func (m *matrix) restart() {
	m.t.Helper()
	m.d.client.Disconnect(100)
	m.b.stop()
	m.b.restart()
	m.device("device-" + fmt.Sprint(time.Now().UnixNano()))
}

func calls(m *matrix) string {
	const things, each = 16, 8
	for i := range things {
		name := fmt.Sprintf("echo-%d", i)
		m.d.serve(name, "Echo", func(in string) string { return `{"result": "` + name + `"}` })
		m.d.announce(name, `{"services": {"Echo": {"output": "STRING"}}}`)
	}
	for i := range things {
		if why := m.bound(m.s, fmt.Sprintf("echo-%d", i), true); why != "" {
			return why
		}
	}
	var mu sync.Mutex
	var wrong []string
	var callers sync.WaitGroup
	for i := range things {
		callers.Go(func() {
			name := fmt.Sprintf("echo-%d", i)
			for range each {
				if a := m.s.call(name, "Echo", nil); a.code != 200 || !strings.Contains(a.body, `"`+name+`"`) {
					mu.Lock()
					wrong = append(wrong, fmt.Sprintf("%d %s", a.code, a.body))
					mu.Unlock()
				}
			}
		})
	}
	callers.Wait()
	if len(wrong) > 0 {
		return fmt.Sprintf("%d of %d calls failed, one with %s", len(wrong), things*each, wrong[0])
	}
	return ""
}

// TestBrokers tries each broker that is installed, and compares what it finds
// with the table of docs/brokers.md.
func TestBrokers(t *testing.T) {
	t.Parallel()
	said := brokersPage(t)
	for _, k := range kindsOfBroker {
		t.Run(k.name, func(t *testing.T) {
			m := &matrix{t: t, b: newBrokerOf(t, k)}
			m.s = newPlatform(t)
			m.br = newBridge(t, m.b, m.s.webSocket(m.s.address), "")
			m.br.waitReady()
			m.device("devices")
			for _, row := range rows {
				began := time.Now()
				why := row.try(m)
				t.Logf("%s: %s %s (%v)", row.name, map[bool]string{true: "yes", false: "no"}[why == ""], why, time.Since(began).Round(time.Millisecond))
				cell, ok := said[row.name][k.name]
				if !ok {
					t.Errorf("docs/brokers.md does not say of %s whether %s", k.name, row.name)
				} else if !strings.HasPrefix(cell, "mostly") && strings.HasPrefix(cell, "yes") != (why == "") {
					t.Errorf("%s: docs/brokers.md says %q, and it was %q", row.name, cell, why)
				}
			}
		})
	}
}

// brokersPage reads the table: row, broker, cell.
func brokersPage(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/brokers.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]map[string]string{}
	var head []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			head = nil
		case head == nil:
			head = cells
		case len(cells) == len(head):
			if said[cells[0]] == nil {
				said[cells[0]] = map[string]string{}
			}
			for i, name := range head[1:] {
				said[cells[0]][name] = cells[i+1]
			}
		}
	}
	return said
}
