package bridge

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"thingbridge/mapping"
)

// emptyOutbox is asked nothing by this test.
type emptyOutbox struct{ Outbox }

func TestAScrapeWaitsForNoLockThatMessagesNeed(t *testing.T) {
	profiles, problems := mapping.Load(nil, "test.yaml", nil)
	if profiles == nil {
		t.Fatal(problems)
	}
	reg := prometheus.NewRegistry()
	b, err := New(Options{Engine: mapping.NewEngine(profiles, mapping.Options{}), Outbox: emptyOutbox{}, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	b.life.Lock()
	b.mu.Lock()
	b.sched.mu.Lock()
	b.relay.mu.Lock()
	b.keeper.mu.Lock()
	done := make(chan error)
	go func() {
		_, err := reg.Gather()
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("a scrape waits for a lock of the bridge")
	}
	b.keeper.mu.Unlock()
	b.relay.mu.Unlock()
	b.sched.mu.Unlock()
	b.mu.Unlock()
	b.life.Unlock()
}
