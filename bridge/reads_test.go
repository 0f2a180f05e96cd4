package bridge_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/edge/alwayson"
)

func TestReads(t *testing.T) {
	read := func(r *rig, name string) chan *alwayson.Response {
		return r.request("pump-1", alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "pump-1", name, nil))
	}
	value := func(t *testing.T, resp *alwayson.Response, name string, want float64) {
		t.Helper()
		if got := alwayson.Result(resp.Content, name); got.Number() != want {
			t.Errorf("%s is %v (%s %s), want %v", name, got, resp.Code, resp.Reason, want)
		}
	}
	t.Run("a known value is answered at once", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			r.live(properties, `{"temp":3}`)
			value(t, r.answered(read(r, "temp")), "temp", 3)
			if sent := r.bus.sent(); len(sent) != 0 {
				t.Errorf("the device was asked: %q", sent)
			}
		})
	})
	t.Run("an unknown one is asked for once, and the next value answers all", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			one, two := read(r, "temp"), read(r, "temp")
			synctest.Wait()
			r.live(properties, `{"temp":4}`)
			value(t, r.answered(one), "temp", 4)
			value(t, r.answered(two), "temp", 4)
			if sent := r.bus.sent(); len(sent) != 1 || !strings.HasPrefix(sent[0], "things/pump-1/properties/temp/get ") {
				t.Errorf("sent %q, want one get", sent)
			}
		})
	})
	t.Run("one that is too old is asked for", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			r.live(properties, `{"old":1}`)
			time.Sleep(11 * time.Second)
			answer := read(r, "old")
			synctest.Wait()
			r.live(properties, `{"old":2}`)
			value(t, r.answered(answer), "old", 2)
		})
	})
	t.Run("an unknown one that never comes", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			one := read(r, "temp")
			time.Sleep(time.Second)
			two := read(r, "temp")
			time.Sleep(11 * time.Second)
			r.mustFail(one, alwayson.GatewayTimeout, "did not answer within 10s")
			r.mustFail(two, alwayson.GatewayTimeout, "did not answer within 10s")
		})
	})
	t.Run("one whose question was lost is asked for again, though others wait that joined it", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			var reads []chan *alwayson.Response
			for range 4 {
				reads = append(reads, read(r, "temp"))
				time.Sleep(6 * time.Second)
			}
			if sent := r.bus.sent(); len(sent) != 2 {
				t.Errorf("sent %q, want a get of the first read and one of the third", sent)
			}
			r.live(properties, `{"temp":4}`)
			r.mustFail(reads[0], alwayson.GatewayTimeout, "did not answer within 10s")
			r.mustFail(reads[1], alwayson.GatewayTimeout, "did not answer within 10s")
			value(t, r.answered(reads[3]), "temp", 4)
		})
	})
	t.Run("all known ones by *", func(t *testing.T) {
		bubble(t, pump(), func(r *rig) {
			r.retained(announce, declared)
			r.live(properties, `{"temp":3,"old":1}`)
			resp := r.answered(read(r, "*"))
			value(t, resp, "temp", 3)
			value(t, resp, "old", 1)
		})
	})
}
