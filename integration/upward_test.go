package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	upThings   = 100
	upInFlight = 1000
)

// upward is devices that ask for a service of their Things on the platform, so
// many requests at a time, and what came of each request.
type upward struct {
	t testing.TB
	d *device

	mu      sync.Mutex
	sent    map[string]time.Time // by request
	replies map[string][]string
	took    []time.Duration
	goOn    int // requests still to be made, one for each reply
}

func newUpward(t testing.TB, d *device) *upward {
	t.Helper()
	u := &upward{t: t, d: d, sent: map[string]time.Time{}, replies: map[string][]string{}}
	d.finish(d.client.Subscribe("things/+/platform/GetIdentifier/reply/+", 1, func(_ mqtt.Client, m mqtt.Message) { u.reply(m) }), "subscribe")
	return u
}

// begin makes n requests, up to upInFlight at a time, each later one for a reply.
func (u *upward) begin(n int) {
	u.mu.Lock()
	u.sent, u.replies, u.took = make(map[string]time.Time, n), make(map[string][]string, n), nil
	u.goOn = max(0, n-upInFlight)
	u.mu.Unlock()
	for range min(n, upInFlight) {
		u.ask()
	}
}

// wait waits until n requests have a reply.
func (u *upward) wait(n int) {
	u.t.Helper()
	eventually(u.t, fmt.Sprintf("replies to %d requests", n), func() string {
		u.mu.Lock()
		defer u.mu.Unlock()
		if len(u.replies) < n {
			return fmt.Sprintf("to %d", len(u.replies))
		}
		return ""
	})
}

func (u *upward) ask() {
	u.mu.Lock()
	i := len(u.sent)
	request := strconv.Itoa(i)
	u.sent[request] = time.Now()
	u.mu.Unlock()
	u.d.client.Publish(fmt.Sprintf("things/up-%d/platform/GetIdentifier/request/%s", i%upThings, request), 1, false, "{}")
}

func (u *upward) reply(m mqtt.Message) {
	parts := strings.Split(m.Topic(), "/")
	request, thing := parts[len(parts)-1], parts[1]
	u.mu.Lock()
	at, known := u.sent[request]
	n, _ := strconv.Atoi(request)
	if !known || thing != fmt.Sprintf("up-%d", n%upThings) {
		u.t.Errorf("reply on %s, which nobody asked for", m.Topic())
	}
	u.replies[request] = append(u.replies[request], string(m.Payload()))
	u.took = append(u.took, time.Since(at))
	more := u.goOn > 0
	u.goOn--
	u.mu.Unlock()
	if more {
		u.ask()
	}
}

// ends counts the replies by what they say, and wants one for each request.
func (u *upward) ends() (ok, unavailable int) {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for request, list := range u.replies {
		switch {
		case len(list) != 1:
			u.t.Errorf("request %s has %d replies: %q", request, len(list), list)
		case strings.Contains(list[0], `"code":503`):
			unavailable++
		case strings.Contains(list[0], `"error"`):
			u.t.Errorf("request %s ended with %s", request, list[0])
		default:
			ok++
		}
	}
	return ok, unavailable
}

// TestAThousandRequestsUpwards holds a thousand requests of a hundred devices in
// flight, measures, and breaks the platform's connection in the middle.
func TestAThousandRequestsUpwards(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	front := newProxy(t, "platform", s.address)
	br := newBridge(t, b, s.webSocket(front.Listen), "limits: {calls: 1000, calls_per_thing: 10}\nallow: {platform: [GetIdentifier]}\n")
	br.waitReady()
	d := newDevice(t, b, "upward")
	var things []string
	for i := range upThings {
		things = append(things, fmt.Sprintf("up-%d", i))
		d.announce(things[i], "{}")
	}
	s.waitBound(things...)
	u := newUpward(t, d)

	s.do(http.MethodPost, "/simulator/faults", map[string]any{"kind": "delay", "delay": "2s"})
	u.begin(upInFlight)
	eventually(t, "a thousand are in flight", func() string {
		if n := br.metric("thingbridge_upward_calls_in_flight"); n != upInFlight {
			return fmt.Sprintf("%v are", n)
		}
		return ""
	})
	u.wait(upInFlight)
	s.do(http.MethodDelete, "/simulator/faults", nil)
	if ok, _ := u.ends(); ok != upInFlight {
		t.Fatalf("%d of %d ended well", ok, upInFlight)
	}

	const many = 6000
	start := time.Now()
	u.begin(many)
	u.wait(many)
	elapsed := time.Since(start)
	if ok, _ := u.ends(); ok != many {
		t.Fatalf("%d of %d ended well", ok, many)
	}
	slices.Sort(u.took)
	t.Logf("%d requests, %d in flight: %.0f/s, p50 %v, p99 %v", many, upInFlight, many/elapsed.Seconds(),
		u.took[many/2].Round(time.Millisecond), u.took[many*99/100].Round(time.Millisecond))

	u.begin(many)
	u.wait(many / 2)
	front.Stop()
	eventually(t, "the bridge notices", func() string {
		if br.metric("thingbridge_platform_connected") != 0 {
			return "it is connected"
		}
		return ""
	})
	up(t, front)
	u.wait(many)
	ok, unavailable := u.ends()
	if ok+unavailable != many || unavailable == 0 || ok < many/4 {
		t.Errorf("of %d requests %d ended well and %d with 503", many, ok, unavailable)
	}
	t.Logf("with the platform cut: %d ended well, %d with 503, each in one reply", ok, unavailable)
	s.waitBound(things...)
	u.begin(upInFlight)
	u.wait(upInFlight)
	if ok, _ := u.ends(); ok != upInFlight {
		t.Errorf("afterwards %d of %d ended well", ok, upInFlight)
	}
}
