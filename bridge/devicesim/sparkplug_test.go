package devicesim

import (
	"strings"
	"testing"
	"time"

	"thingbridge/mapping/sparkplug"
)

func TestASparkplugNodeIsBornObeysAndDies(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "spBv1.0/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "sparkplug-b", Count: 2, Prefix: "line-", Interval: time.Hour})
	const group = "spBv1.0/Plant A/"
	next := uint64(0)
	read := func(topic string) *sparkplug.Payload {
		t.Helper()
		h := until(t, ch, topic, func(h heard) bool { return h.topic == group+topic })
		p, err := sparkplug.Parse([]byte(h.payload))
		if err != nil {
			t.Fatal(err)
		}
		if topic != "NDEATH/line" {
			if p.Seq == nil || *p.Seq != next {
				t.Fatalf("%s has the number %v, expected %d", topic, p.Seq, next)
			}
			next++
		}
		return p
	}
	births := func() {
		t.Helper()
		next = 0
		if s := read("NBIRTH/line").String(); !strings.Contains(s, "bdSeq Int64 0") || !strings.Contains(s, "Node Control/Rebirth Boolean false") {
			t.Errorf("birth %s", s)
		}
		read("DBIRTH/line/line-1")
		if s := read("DBIRTH/line/line-2").String(); !strings.Contains(s, "Setpoint Int32") {
			t.Errorf("birth %s", s)
		}
	}
	births()
	send := func(topic, name string, kind sparkplug.DataType, v any) {
		t.Helper()
		payload, err := sparkplug.Command(name, kind, v, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.Publish(group+topic, 0, false, payload).WaitTimeout(limit)
	}
	send("DCMD/line/line-2", "Setpoint", sparkplug.Int32, 60)
	p := read("DDATA/line/line-2")
	if v, err := p.Metrics[0].Plain(sparkplug.Int32); v != 60 || err != nil || p.Metrics[0].Alias == nil {
		t.Errorf("data %v %v", v, err)
	}
	send("NCMD/line", "Node Control/Rebirth", sparkplug.Boolean, true)
	births()
	stop()
	if s := read("NDEATH/line").String(); s != "bdSeq Int64 0" {
		t.Errorf("death %s", s)
	}
}
