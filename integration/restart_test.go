package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestWhateverRestartsTheSameThingsAreBoundAgain kills and restarts each part
// in turn.
func TestWhateverRestartsTheSameThingsAreBoundAgain(t *testing.T) {
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "")
	br.waitReady()
	d := newDevice(t, b, "fleet")
	var fleet []string
	for i := range 30 {
		thing := fmt.Sprintf("fleet-%02d", i)
		fleet = append(fleet, thing)
		d.announce(thing, "{}")
	}
	d.publish("things/unretained-1/announce", "{}")
	d.announce("away-1", "{}")
	d.retain("things/away-1/status", "offline")
	fleet = append(fleet, "unretained-1")
	t.Logf("%d Things bound after %v", len(fleet), s.waitBound(fleet...).Round(time.Millisecond))
	d.client.Disconnect(100)

	t.Run("the bridge is killed and started again", func(t *testing.T) {
		br.p.kill()
		s.waitBound()
		br.start()
		t.Logf("bound again after %v", s.waitBound(fleet...).Round(time.Millisecond))
	})
	t.Run("the bridge is stopped and started again", func(t *testing.T) {
		br.p.stop(t)
		s.waitBound()
		br.start()
		t.Logf("bound again after %v", s.waitBound(fleet...).Round(time.Millisecond))
	})
	t.Run("the broker is stopped and started again", func(t *testing.T) {
		b.stop()
		b.restart()
		br.waitReady()
		s.waitBound(fleet...)
		late := newDevice(t, b, "late")
		late.announce("late-1", "{}")
		fleet = append(fleet, "late-1")
		t.Logf("a new Thing bound after %v", s.waitBound(fleet...).Round(time.Millisecond))
	})
	t.Run("the platform is killed and started again", func(t *testing.T) {
		s.p.kill()
		s.start()
		t.Logf("bound again after %v", s.waitBound(fleet...).Round(time.Millisecond))
	})
	t.Run("a Thing that left while the bridge was down is not bound again", func(t *testing.T) {
		br.p.kill()
		s.waitBound()
		gone := newDevice(t, b, "gone")
		gone.announce("fleet-00", "")
		br.start()
		t.Logf("settled after %v", s.waitBound(fleet[1:]...).Round(time.Millisecond))
		never(t, 2*time.Second, func() string {
			if bound, _, err := s.connected(); err != nil || slices.Contains(bound, "fleet-00") {
				return fmt.Sprintf("bound are %q, %v", bound, err)
			}
			return ""
		})
	})
	br.p.stop(t)
	s.waitBound()
}
