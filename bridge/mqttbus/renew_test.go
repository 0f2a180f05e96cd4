package mqttbus

import (
	"testing"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

func TestRenewMakesANewSessionAtOnce(t *testing.T) {
	far := startBroker(t, broker.Options{})
	o := testOptions(t, far.URL())
	o.Backoff = Backoff{Min: 1 << 40, Max: 1 << 40, Healthy: 1 << 40} // no test waits so long
	r := newRecorder()
	b, _ := startBus(t, o, r, "a/#")
	receive(t, r.up, "BusUp")
	next := o
	next.KeepAlive = 2 * o.KeepAlive
	if err := b.Reconfigure(next); err != nil {
		t.Fatal(err)
	}
	b.Renew("the keep-alive changed")
	receive(t, r.up, "BusUp again")
	if s := b.Status(); s.Session != 2 || s.Attempts != 0 || !s.SessionKept {
		t.Errorf("status %+v", s)
	}
	sent := make(chan error, 1)
	b.Publish(bridge.Publication{Topic: "b", QoS: 1}, func(err error) { sent <- err })
	if err := receive(t, sent, "PUBACK"); err != nil {
		t.Error(err)
	}
	if err := b.Reconfigure(Options{ClientID: "x"}); err == nil {
		t.Error("options without a broker are taken")
	}
}
