package simulator

import (
	"fmt"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func TestThousandsOfInventedThingsAreSynchronised(t *testing.T) {
	p := start(t, Options{})
	e := connect(t, p)
	const n = 4000
	begin := time.Now()
	for at := 0; at < n; at += 2000 {
		var names []string
		for i := range 2000 {
			names = append(names, fmt.Sprintf("dev-%05d", at+i))
		}
		e.send(alwayson.BindCode, &alwayson.Bind{Names: names})
	}
	var c *conn
	p.mu.Lock()
	for c = range p.conns {
	}
	p.mu.Unlock()
	most, notified := 0, 0
	for notified < n {
		m := e.next()
		req, yes := m.Body.(*alwayson.Request)
		if !yes {
			continue
		}
		most = max(most, c.calls.waiting())
		if req.Name == "GetMetadata" {
			e.answer(m, metadataOf(req.Entity, propertyOf("a", alwayson.TypeNumber, alwayson.PushAlways)))
			continue
		}
		notified++
		e.answer(m, ok(alwayson.Value{}))
	}
	if most > syncWindow {
		t.Fatalf("%d calls at a time", most)
	}
	t.Logf("%d things in %v, at most %d calls at a time", n, time.Since(begin), most)
}
