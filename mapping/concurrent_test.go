package mapping_test

import (
	"fmt"
	"sync"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

func TestAnEngineIsUsedByManyAtOnce(t *testing.T) {
	e := engine(t, pump+"  - preset: native\n")
	const rounds = 300
	var wg sync.WaitGroup
	wg.Go(func() { // the one goroutine that hands messages in
		for i := range rounds {
			thing := fmt.Sprintf("d%d", i%7)
			put(t, e, "things/"+thing+"/announce", fmt.Sprintf(`{"properties":{"x":{"type":"NUMBER","writable":true}},"description":"%d"}`, i%3))
			e.Handle(in("things/"+thing+"/properties", `{"x":1,"y":"text","z":[1,2]}`), nil)
			if i%11 == 0 {
				e.Remove(thing)
			}
		}
	})
	wg.Go(func() {
		for i := range rounds {
			thing := fmt.Sprintf("d%d", i%7)
			if c, err := e.Call(thing, "S", params("a", alwayson.NewNumber(1))); err == nil && string(c.Send[0].Payload) != `{"a":1}` {
				t.Errorf("sent %s", c.Send[0].Payload)
			}
			if c, err := e.Write(thing, "x", alwayson.NewNumber(2)); err == nil && string(c.Send[0].Payload) != "2" {
				t.Errorf("sent %s", c.Send[0].Payload)
			}
		}
	})
	wg.Go(func() {
		for i := range rounds {
			thing := fmt.Sprintf("d%d", i%7)
			if data, err := e.Save(thing); err == nil {
				if _, err := e.Restore(data); err != nil {
					t.Error(err)
				}
			}
			e.Metadata(thing)
			e.Explain(in("things/"+thing+"/properties", `{"x":1}`))
			e.DevicesOf("native")
			e.Asks(mapping.AskAnnounce, thing)
		}
	})
	wg.Wait()
}
