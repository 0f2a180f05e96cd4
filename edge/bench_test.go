package edge

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// quickPlatform accepts AUTH and answers every request with SUCCESS, gathering
// its answers as the client gathers its requests.
func quickPlatform(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{WriteBufferSize: 16 << 10, ReadBufferSize: 32 << 10}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		wire := ws.NetConn().(*coalescer)
		wire.gather()
		answers := make(chan []byte, 4096)
		go func() {
			for m := range answers {
				ws.WriteMessage(websocket.BinaryMessage, m)
				if len(answers) == 0 {
					wire.flush()
				}
			}
		}()
		defer close(answers)
		for {
			_, m, err := ws.ReadMessage()
			if err != nil {
				return
			}
			id := binary.BigEndian.Uint32(m[2:])
			answers <- append(bare(alwayson.Header{Code: alwayson.Success, RequestID: id, SessionID: peerSession}), 0, 0xFF)
		}
	})}
	go srv.Serve(coalescingListener{l})
	b.Cleanup(func() { srv.Close() })
	return "ws://" + l.Addr().String() + "/Thingworx/WS"
}

type coalescingListener struct{ net.Listener }

func (l coalescingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newCoalescer(c, time.Minute), nil
}

// BenchmarkCalls measures calls over loopback, both ends in this process, with
// a push of one value per call.
func BenchmarkCalls(b *testing.B) {
	push := alwayson.PushRequest("pump-1", []alwayson.PropertyValue{{Name: "temperature", Value: alwayson.NewNumber(21.5), Time: 1e12, Quality: "GOOD"}})
	for _, inFlight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			c := run(b, testOptions(quickPlatform(b)), &recorder{})
			await(b, c, "connected", connected)
			s := c.current.Load()
			slots := make(chan struct{}, inFlight)
			before := s.wire.writes.Load()
			b.ResetTimer()
			b.ReportAllocs()
			for range b.N {
				slots <- struct{}{}
				c.Start(alwayson.Post, push, 10*time.Second, func(_ *alwayson.Response, err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
				})
			}
			for range inFlight {
				slots <- struct{}{}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(s.wire.writes.Load()-before)/float64(b.N), "writes/msg")
		})
	}
}

// BenchmarkServing measures how fast decoded requests are answered.
func BenchmarkServing(b *testing.B) {
	s := loose(b, func(q *served, _ *alwayson.Request) { q.respond(alwayson.OK(alwayson.Value{})) })
	m, err := alwayson.Append(nil, &alwayson.Message{Header: alwayson.Header{Code: alwayson.Post, RequestID: 1}, Body: alwayson.SubscriptionsRequest("a")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.dispatch(m)
		s.out.next()
	}
}
