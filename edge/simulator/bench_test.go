package simulator

import (
	"testing"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// BenchmarkPush stores pushed values over a real socket; "values" is per second.
func BenchmarkPush(b *testing.B) {
	for _, c := range []struct {
		name  string
		batch int
	}{{"1 value a push", 1}, {"20 values a push", 20}, {"100 values a push", 100}} {
		b.Run(c.name, func(b *testing.B) {
			p := start(b, Options{Strict: true, Things: []ThingSpec{pump}})
			e := connect(b, p)
			e.mustBind("pump-1")
			var vals []alwayson.PropertyValue
			for i := range c.batch {
				vals = append(vals, good("flow", alwayson.NewNumber(float64(i)), int64(i)))
			}
			msg := e.encode(alwayson.Header{Code: alwayson.Post, RequestID: 5, SessionID: e.session}, alwayson.PushRequest("pump-1", vals))
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N {
					_ = e.ws.WriteMessage(websocket.BinaryMessage, msg)
				}
			}()
			for range b.N {
				<-e.in
			}
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

// BenchmarkStore is the same without the socket.
func BenchmarkStore(b *testing.B) {
	p, c := unconnected(b)
	c.bind(alwayson.Header{}, &alwayson.Bind{Names: []string{"pump-1"}})
	p.lookup("pump-1").bound().open.Store(true)
	vals := []alwayson.PropertyValue{}
	for i := range 20 {
		vals = append(vals, good("flow", alwayson.NewNumber(float64(i)), int64(i)))
	}
	msg, err := alwayson.Append(nil, &alwayson.Message{Header: alwayson.Header{Code: alwayson.Post, RequestID: 5, SessionID: 7}, Body: alwayson.PushRequest("pump-1", vals)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var spare []byte
	for b.Loop() {
		c.message(msg)
		spare, _, _ = c.out.take(spare)
	}
	b.ReportMetric(float64(b.N*20)/b.Elapsed().Seconds(), "values/s")
}
