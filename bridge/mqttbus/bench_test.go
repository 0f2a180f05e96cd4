package mqttbus

import (
	"sync/atomic"
	"testing"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

// benchBroker prefers a broker in a process of its own.
func benchBroker(b *testing.B, kind string) string {
	if kind == "mosquitto" {
		return startMosquitto(b, "persistence false\nmax_inflight_messages 100").url()
	}
	return startBroker(b, broker.Options{QueuePerClient: 65_000, InFlight: 65_000}).URL()
}

func BenchmarkReceive(b *testing.B) {
	for _, kind := range []string{"embedded", "mosquitto"} {
		for _, qos := range []byte{0, 1} {
			b.Run(kind+"/qos"+string('0'+rune(qos)), func(b *testing.B) { benchReceive(b, benchBroker(b, kind), qos) })
		}
	}
}

func benchReceive(b *testing.B, url string, qos byte) {
	r := newRecorder()
	var got atomic.Int64
	all := make(chan struct{}, 1)
	r.handle = func(m *bridge.Message) {
		m.Ack()
		if got.Add(1) == int64(b.N) {
			all <- struct{}{}
		}
	}
	o := testOptions(b, url)
	o.InboxMessages = 200_000
	o.Logger = nil
	startBus(b, o, r, "bench")
	receive(b, r.up, "BusUp")
	s := newRecorder()
	so := o
	so.ClientID = "sender"
	sender, _ := startBus(b, so, s)
	receive(b, s.up, "BusUp")
	payload := make([]byte, 100)
	window := make(chan struct{}, 2000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		window <- struct{}{}
		sender.Publish(bridge.Publication{Topic: "bench", Payload: payload, QoS: qos}, func(error) { <-window })
	}
	receive(b, all, "last message")
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkPublish(b *testing.B) {
	for _, kind := range []string{"embedded", "mosquitto"} {
		for _, qos := range []byte{0, 1} {
			b.Run(kind+"/qos"+string('0'+rune(qos)), func(b *testing.B) { benchPublish(b, benchBroker(b, kind), qos) })
		}
	}
}

func benchPublish(b *testing.B, url string, qos byte) {
	r := newRecorder()
	o := testOptions(b, url)
	o.Logger = nil
	bus, _ := startBus(b, o, r)
	receive(b, r.up, "BusUp")
	payload := make([]byte, 100)
	window := make(chan struct{}, 2000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		window <- struct{}{}
		bus.Publish(bridge.Publication{Topic: "bench", Payload: payload, QoS: qos}, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
