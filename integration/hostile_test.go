package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// hostileConfig has a second family whose devices claim names of the first, and
// limits that a flood reaches.
const hostileConfig = `limits: {things: 200, announcements_per_second: 500, payload_bytes: 64KiB, values_per_message: 100, definitions_per_thing: 50}
deny: {things: ["denied-*"], services: [Format*]}
profiles:
  - preset: native
  - {name: other, thing: "${id}", announce: {topic: "other/{id}/hello"}, properties: {topic: "other/{id}/state", values: payload}}
`

const (
	hostileProbes = 40        // values and calls of the honest device under each attack
	hostileMemory = 512 << 10 // KiB that the bridge may have used at its most
	hostileLines  = 300       // log lines for all of it; each of 200 Things says once that it is there
)

// hostileTopics is how many topics the flood of topics uses; HOSTILE_TOPICS sets it.
func hostileTopics(t *testing.T) int { return int(numberVar(t, "HOSTILE_TOPICS", 50_000)) }

// honest is a device that goes on working while others attack.
type honest struct {
	t    *testing.T
	d    *device
	s    *platform
	next int
}

func newHonest(t *testing.T, b *broker, s *platform) *honest {
	t.Helper()
	h := &honest{t: t, d: newDevice(t, b, "honest"), s: s}
	h.d.serve("honest-1", "Echo", func(in string) string { return `{"result": ` + in + `}` })
	h.d.announce("honest-1", `{"properties": {"n": {"type": "NUMBER", "push": "ALWAYS"}}, "services": {"Echo": {"inputs": {"n": "NUMBER"}, "output": "JSON"}, "Slow": {"output": "STRING"}}}`)
	s.waitThing("honest-1", true)
	return h
}

// delays are those of values and calls, sorted.
type delays struct{ values, calls []time.Duration }

func (d delays) String() string {
	at := func(l []time.Duration, q float64) time.Duration {
		return l[int(q*float64(len(l)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("value %v median, %v at most; call %v median, %v at most", at(d.values, 0.5), at(d.values, 1), at(d.calls, 0.5), at(d.calls, 1))
}

// probe publishes values and calls the device, and wants every value at the
// platform and every call answered by the device.
func (h *honest) probe() delays {
	h.t.Helper()
	sent := map[string]time.Time{}
	var d delays
	for range hostileProbes {
		h.next++
		text := strconv.Itoa(h.next)
		sent[text] = time.Now()
		h.d.publish("things/honest-1/properties/n", text)
		a := h.s.call("honest-1", "Echo", map[string]any{"n": h.next})
		if a.code != http.StatusOK || !strings.Contains(a.body, text) {
			h.t.Fatalf("the honest device's call ended with %d %s", a.code, a.body)
		}
		d.calls = append(d.calls, a.took)
	}
	eventually(h.t, "all values of the honest device are at the platform", func() string {
		d.values = d.values[:0]
		all, err := h.s.pushes("honest-1")
		if err != nil {
			return err.Error()
		}
		seen := map[string]bool{}
		for _, p := range all {
			if at, ok := sent[string(p.Value)]; ok && !seen[string(p.Value)] {
				seen[string(p.Value)] = true
				d.values = append(d.values, p.Received.Sub(at))
			}
		}
		if len(seen) != len(sent) {
			return fmt.Sprintf("%d of %d", len(seen), len(sent))
		}
		return ""
	})
	slices.Sort(d.values)
	slices.Sort(d.calls)
	return d
}

// during probes while attack runs over and over.
func (h *honest) during(attack func(round int)) delays {
	h.t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				attack(i)
			}
		}
	}()
	defer func() {
		close(stop)
		<-ended
	}()
	return h.probe()
}

// api reads a path of the bridge's console.
func (b *bridge) api(path string, into any) string {
	b.t.Helper()
	resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + b.console + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			b.t.Fatalf("%s: %v: %.300s", path, err, body)
		}
	}
	return string(body)
}

// metric gives the sum of the samples whose line starts so.
func (b *bridge) metric(prefix string) float64 {
	b.t.Helper()
	sum := 0.0
	for line := range strings.Lines(b.api("/metrics", nil)) {
		if strings.HasPrefix(line, prefix) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1:]), 64)
			if err != nil {
				b.t.Fatalf("%q: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// wantMetric waits until a counter is there and at least so high.
func (b *bridge) wantMetric(prefix string, least float64) {
	b.t.Helper()
	eventually(b.t, prefix, func() string {
		if got := b.metric(prefix); got < least {
			return fmt.Sprintf("it is %v, want %v or more", got, least)
		}
		return ""
	})
}

// peak is the most memory that the process had, in KiB.
func (b *bridge) peak() int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.p.cmd.Process.Pid))
	if err != nil {
		b.t.Logf("no memory figures here: %v", err)
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				b.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// TestHostileDevices has devices do everything that a broker lets them do, while
// an honest one works.
func TestHostileDevices(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), hostileConfig)
	br.waitReady()
	h := newHonest(t, b, s)
	h.probe()
	t.Logf("%-28s %v", "in peace:", h.probe())
	bad := newDevice(t, b, "hostile")
	flood := func(topic string, payload any) {
		if token := bad.client.Publish(topic, 0, false, payload); token.Error() != nil {
			t.Errorf("%s: %v", topic, token.Error())
		}
	}
	bad.announce("bad-1", `{"services": {"Echo": {}, "Slow": {}, "FormatDisk": {}}}`)
	s.waitThing("bad-1", true)

	t.Run("another family's announcement of a Thing is refused and shown with both sources", func(t *testing.T) {
		bad.retain("other/honest-1/hello", `{}`)
		bad.retain("other/HONEST-1/hello", `{}`)
		eventually(t, "the clash is shown", func() string {
			var st struct {
				Bridge struct{ Clashes map[string]string }
			}
			br.api("/api/v1/status", &st)
			text := st.Bridge.Clashes["honest-1"]
			if !strings.Contains(text, "other/honest-1/hello") || !strings.Contains(text, "things/honest-1/announce") || st.Bridge.Clashes["HONEST-1"] == "" {
				return fmt.Sprintf("%+v", st)
			}
			return ""
		})
		bad.publish("other/honest-1/state", `{"n": -1}`)
		bad.publish("other/HONEST-1/state", `{"n": -1}`)
		bad.retain("other/honest-1/hello", "")
		h.probe()
		all, err := s.pushes("honest-1")
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(all, func(p pushed) bool { return string(p.Value) == "-1" }) {
			t.Error("a value of the other family's device came through")
		}
		br.wantMetric(`thingbridge_rejected_total{reason="clash"`, 2)
	})
	t.Run("a Thing on the deny list and a service on it are not there", func(t *testing.T) {
		bad.announce("denied-1", "{}")
		br.wantMetric(`thingbridge_rejected_total{reason="denied"`, 1)
		s.call("denied-1", "Echo", nil).want(t, http.StatusNotFound)
		s.call("bad-1", "FormatDisk", nil).want(t, http.StatusNotFound, "FormatDisk")
	})
	t.Run("replies with guessed, foreign and old ids answer nothing", func(t *testing.T) {
		h.d.listen("things/honest-1/services/Slow/request/+")
		result := make(chan answer, 1)
		go func() { result <- s.call("honest-1", "Slow", nil) }()
		var request string
		eventually(t, "the device is asked", func() string {
			got := h.d.got("things/honest-1/services/Slow/request/")
			if len(got) == 0 {
				return "not yet"
			}
			request = got[0].topic[strings.LastIndexByte(got[0].topic, '/')+1:]
			return ""
		})
		if len(request) < 26 { // 128 bits, five in a letter
			t.Errorf("the request id %q can be guessed", request)
		}
		for range 5000 {
			flood(fmt.Sprintf("things/honest-1/services/Slow/reply/%032x", rand.Uint64()), `{"result": "guessed"}`)
		}
		bad.publish("things/bad-1/services/Slow/reply/"+request, `{"result": "foreign"}`)
		bad.publish("things/honest-1/services/Slow/reply/"+strings.ToLower(request), `{"result": "changed"}`)
		br.wantMetric(`thingbridge_replies_ignored_total{reason="foreign"`, 1)
		h.d.publish("things/honest-1/services/Slow/reply/"+request, `{"result": "honest"}`)
		if a := <-result; !strings.Contains(a.body, "honest") {
			t.Errorf("%d %s", a.code, a.body)
		}
		for range 1000 {
			flood("things/honest-1/services/Slow/reply/"+request, `{"result": "replayed"}`)
		}
		br.wantMetric(`thingbridge_replies_ignored_total{reason="late"`, 1)
	})
	t.Run("payloads that are none are counted and cost nothing else", func(t *testing.T) {
		deep := strings.Repeat("[", 30_000)
		for topic, payloads := range map[string][]string{
			"things/bad-1/properties":                           {"\xff\xfe", `{"a": NaN}`, `{"a": 1e999}`, `{"a"`, "[]", "null", deep, `{"": 1, "a\u0000b": 2}`, `{"values": {"x": {}}, "time": {}}`},
			"things/bad-1/properties/x":                         {"NaN", "Infinity", "-1e999", "\x00", strings.Repeat("9", 60_000)},
			"things/bad-1/announce":                             {"\xff", "[]", "1", `{"properties": 5}`, `{"services": {"A": {"timeout": "99h"}}}`, deep},
			"things/bad-1/status":                               {"\xff", "maybe"},
			"things/bad-1/events/E":                             {"\xff", "[1]", "NaN"},
			"things/bad-1/platform/S/request":                   {"x"},
			"things/bad-1/platform/DeleteThing/request/1":       {"{}", "[]", "\xff"},
			"things/" + strings.Repeat("n", 5000) + "/announce": {"{}"},
			"things/a{b}/announce":                              {"{}"},
			"things/ /announce":                                 {"{}"},
		} {
			for _, payload := range payloads {
				bad.publish(topic, payload)
			}
		}
		bad.publish("things/bad-1/properties", manyMembers(5000))
		bad.publish("things/bad-2/announce", `{"properties": `+manyMembers(5000)+`}`)
		for _, reason := range []string{"malformed", "too_large", "type", "name"} {
			br.wantMetric(`thingbridge_rejected_total{reason="`+reason+`"`, 1)
		}
		h.probe()
	})
	attack := func(name string, what func(i int)) {
		t.Logf("%-28s %v", name+":", h.during(what))
	}
	payload := make([]byte, 10<<20)
	attack("payloads of 10 MB", func(int) { bad.publish("things/bad-1/properties", string(payload)) })
	attack("values, QoS 0", func(int) {
		for range 500 {
			flood("things/bad-1/properties", `{"a": 1, "b": "two", "c": {"d": 3}}`)
		}
		bad.publish("things/bad-1/properties/a", "1") // not faster than the broker takes
	})
	attack("values, QoS 1", func(int) {
		var last mqtt.Token
		for range 50 {
			last = bad.client.Publish("things/bad-1/properties", 1, false, `{"a": 1, "b": "two", "c": {"d": 3}}`)
		}
		bad.finish(last, "publish")
	})
	attack("announcements", func(i int) {
		for j := range 100 {
			flood(fmt.Sprintf("things/flood-%d/announce", (i*100+j)%5000), fmt.Sprintf(`{"properties": {"p%d": "NUMBER"}}`, j))
		}
		bad.publish("things/bad-1/properties/a", "1")
	})
	attack("replies", func(int) {
		for range 500 {
			flood("things/honest-1/services/Echo/reply/00000000000000000000000000000000", `{"result": "x"}`)
		}
		bad.publish("things/bad-1/properties/a", "1")
	})
	topics, next := hostileTopics(t), 0
	start := time.Now()
	d := h.during(func(int) { next += topicFlood(bad, next, min(500, topics-next)) })
	for next < topics {
		next += topicFlood(bad, next, 500)
	}
	t.Logf("%-28s %v (%d topics in %v)", "as many topics:", d, next, time.Since(start).Round(time.Second))
	br.wantMetric(`thingbridge_rejected_total{reason="limit"`, 1)
	t.Logf("%-28s %v", "in peace again:", h.probe())
	if br.p.ended() {
		t.Fatalf("the bridge ended: %v", br.p.err)
	}
	lines := strings.Count(br.p.output(), "\n")
	t.Logf("memory at most %d MiB, %d log lines", br.peak()>>10, lines)
	if peak := br.peak(); peak > hostileMemory {
		t.Errorf("the bridge took %d KiB", peak)
	}
	if lines > hostileLines {
		t.Errorf("%d log lines:\n%s", lines, br.p.tail())
	}
	if !strings.Contains(br.p.output(), "limits.things") {
		t.Errorf("the log does not name the limit that was reached:\n%s", br.p.tail())
	}
	if now := br.metric("thingbridge_things{"); now > 200 {
		t.Errorf("%v Things are registered", now)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"p%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// topicFlood publishes to n topics that nobody used before.
func topicFlood(d *device, from, n int) int {
	var last mqtt.Token
	for i := range n {
		last = d.client.Publish(fmt.Sprintf("things/t%d/properties/a", from+i), 0, false, "1")
	}
	if last != nil {
		d.finish(last, "publish")
		d.publish("things/bad-1/properties/a", "1")
	}
	return n
}
