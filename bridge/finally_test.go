package bridge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/edge/alwayson"
)

const commanded = `
- name: p
  thing: ${id}
  announce: {topic: "c/{id}"}
  presence: {topic: "c/{id}/status"}
  services:
    Run:
      timeout: 5s
      request: {topic: "c/${id}/run/${request}", retain: true, payload: init}
      reply: {topic: "c/{id}/run/{request}", when: 'payload != ""', match: 'payload in ["done", "failed"]', begun: 'payload == "at it"', error: 'payload == "failed" ? "no oil" : nil'}
      finally: {topic: "c/${id}/run/${request}", retain: true}
    Next:
      timeout: 2s
      request: {topic: "c/${id}/next/${request}", payload: init}
      reply: {topic: "c/{id}/next/{request}", serial: true}
      finally: {topic: "c/${id}/next/${request}", retain: true}
`

// said lists what went to the devices: the topic without its request, whether it is
// retained, and the payload. It returns the first request's id, too.
func (r *rig) said() (list []string, id string) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	for _, p := range r.bus.published {
		at := strings.LastIndexByte(p.Topic, '/')
		if !strings.HasPrefix(p.Topic, "c/") {
			continue
		}
		if id == "" {
			id = p.Topic[at+1:]
		}
		list = append(list, fmt.Sprintf("%s %v %q", p.Topic[:at], p.Retain, p.Payload))
	}
	return list, id
}

// However a call ends, what it had the broker retain is taken back, once.
func TestWhatACallHadRetainedIsTakenBackHoweverItEnds(t *testing.T) {
	const begin, over = `c/d/run true "init"`, `c/d/run true ""`
	for _, c := range []struct {
		name string
		ends func(r *rig, topic string)
		code alwayson.Code
		want []string
	}{
		{"by a result", func(r *rig, topic string) { r.live(topic, "done") }, alwayson.Success, []string{begin, over}},
		{"by the device's error", func(r *rig, topic string) { r.live(topic, "failed") }, alwayson.InternalServerError, []string{begin, over}},
		{"by its time", func(*rig, string) { time.Sleep(5 * time.Second) }, alwayson.GatewayTimeout, []string{begin, over}},
		{"by its device, which goes offline", func(r *rig, _ string) { r.live("c/d/status", "offline") }, alwayson.ServiceUnavailable, []string{begin, over}},
		{"by its device, which leaves", func(r *rig, _ string) { r.retained("c/d", "") }, alwayson.ServiceUnavailable, []string{begin, over}},
		{"and the device answers twice", func(r *rig, topic string) { r.live(topic, "done"); r.live(topic, "done") }, alwayson.Success, []string{begin, over, over}},
		{"by its time, and the device answers after all", func(r *rig, topic string) {
			time.Sleep(6 * time.Second)
			synctest.Wait()
			r.live(topic, "done")
			r.live(topic, "")
		}, alwayson.GatewayTimeout, []string{begin, over, over}},
		{"by a result after the device has begun", func(r *rig, topic string) { r.live(topic, "at it"); r.live(topic, "done") }, alwayson.Success, []string{begin, over}},
		{"by its time, and the device is at it", func(r *rig, topic string) {
			r.live(topic, "init")
			r.live(topic, "at it")
			time.Sleep(6 * time.Second)
			synctest.Wait()
			r.live(topic, "at it")
		}, alwayson.GatewayTimeout, []string{begin}},
		{"by its time, and the device that was at it answers after all", func(r *rig, topic string) {
			r.live(topic, "at it")
			time.Sleep(6 * time.Second)
			synctest.Wait()
			r.live(topic, "done")
		}, alwayson.GatewayTimeout, []string{begin, over}},
		{"by its device, which goes offline and is at it", func(r *rig, topic string) {
			r.live(topic, "at it")
			r.live("c/d/status", "offline")
			r.live("c/d/status", "online")
			r.live(topic, "done")
		}, alwayson.ServiceUnavailable, []string{begin, over}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, map[string][]alwayson.Subscription{"d": {}}, func(r *rig) {
				r.retained("c/d", "{}")
				answer := r.service("d", "Run")
				synctest.Wait()
				_, id := r.said()
				c.ends(r, "c/d/run/"+id)
				synctest.Wait()
				if resp := r.answered(answer); resp.Code != c.code {
					t.Errorf("the call ends with %s %s, want %s", resp.Code, resp.Reason, c.code)
				}
				if got, _ := r.said(); !slices.Equal(got, c.want) {
					t.Errorf("sent %q, want %q", got, c.want)
				}
			}, profile(t, commanded))
		})
	}
}

// A bridge that was killed answers for what it left behind: the answer to a call
// of its earlier life is taken back, too.
func TestAnAnswerToACallOfAnEarlierLifeIsTakenBack(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"d": {}}, func(r *rig) {
		r.retained("c/d", "{}")
		r.retained("c/d/run/still-running", "at it")
		r.retained("c/d/run/left-behind", "done")
		r.retained("c/other/run/left-behind", "done") // no device that is known
		if got, id := r.said(); id != "left-behind" || !slices.Equal(got, []string{`c/d/run true ""`}) {
			t.Errorf("sent %q with %q", got, id)
		}
	}, profile(t, commanded))
}

// What was never sent needs nothing after it.
func TestNothingIsSentAfterACallThatWasNotSent(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"d": {}}, func(r *rig) {
		r.retained("c/d", "{}")
		r.service("d", "Next")
		second := r.service("d", "Next")
		time.Sleep(2*time.Second + time.Millisecond)
		synctest.Wait()
		if resp := r.answered(second); resp.Code != alwayson.GatewayTimeout || !strings.Contains(resp.Reason, "busy") {
			t.Fatalf("the second call: %s %s", resp.Code, resp.Reason)
		}
		if got, _ := r.said(); !slices.Equal(got, []string{`c/d/next false "init"`, `c/d/next true ""`}) {
			t.Errorf("sent %q", got)
		}
	}, profile(t, commanded))
}
