package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/mapping/sparkplug"
)

// edge is an edge node that does what a test says, message by message.
type edge struct {
	t      *testing.T
	client mqtt.Client

	mu       sync.Mutex
	seq      uint64
	bdSeq    int
	answers  bool // to requests for its births
	echoes   bool // to writes
	requests int
}

const (
	edgeTopic   = "spBv1.0/Plant A/%s/Raspberry Pi"
	edgeThing   = "Plant A.Raspberry Pi"
	deviceThing = edgeThing + ".Pibrella"
)

func newEdge(t *testing.T, b *broker) *edge {
	t.Helper()
	e := &edge{t: t, answers: true, echoes: true}
	e.connect(b)
	return e
}

func (e *edge) payload(format string, args ...any) []byte {
	p, err := sparkplug.FromJSON(fmt.Appendf(nil, format, args...))
	if err != nil {
		e.t.Error(err)
		return nil
	}
	return p.Append(nil)
}

func (e *edge) connect(b *broker) {
	e.t.Helper()
	death := e.payload(`{"metrics": [{"name": "bdSeq", "type": "Int64", "value": %d}]}`, e.bdSeq)
	o := mqttOptions(b.url(), "edge").SetOrderMatters(true).SetBinaryWill(fmt.Sprintf(edgeTopic, "NDEATH"), death, 1, false)
	e.client = mqtt.NewClient(o)
	wait := func(token mqtt.Token) {
		e.t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			e.t.Fatal(token.Error())
		}
	}
	wait(e.client.Connect())
	wait(e.client.Subscribe(fmt.Sprintf(edgeTopic, "NCMD"), 1, e.command))
	wait(e.client.Subscribe(fmt.Sprintf(edgeTopic, "DCMD")+"/+", 1, e.command))
	e.t.Cleanup(func() { e.client.Disconnect(0) })
}

// say sends a message with the next number, or as skip says one further on.
func (e *edge) say(kind string, skip uint64, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sayLocked(kind, skip, format, args...)
}

func (e *edge) sayLocked(kind string, skip uint64, format string, args ...any) {
	if kind == "NBIRTH" {
		e.seq = 0
	}
	topic := fmt.Sprintf(edgeTopic, kind)
	if kind[0] == 'D' {
		topic += "/Pibrella"
	}
	metrics := fmt.Sprintf(format, args...)
	e.client.Publish(topic, 0, false, e.payload(`{"timestamp": %d, "seq": %d, "metrics": [%s]}`, time.Now().UnixMilli(), (e.seq+skip)%256, metrics))
	if skip == 0 {
		e.seq = (e.seq + 1) % 256
	}
}

func (e *edge) birth() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.birthLocked()
}

func (e *edge) birthLocked() {
	e.sayLocked("NBIRTH", 0, `{"name": "bdSeq", "type": "Int64", "value": %d}, {"name": "Node Control/Rebirth", "type": "Boolean", "value": false},
		{"name": "TCK_metric/Int32", "type": "Int32", "value": 1, "alias": 1}`, e.bdSeq)
	e.sayLocked("DBIRTH", 0, `{"name": "Inputs/0", "type": "Boolean", "value": false, "alias": 2}, {"name": "Temperature", "type": "Int16", "value": 20, "alias": 3}`)
}

func (e *edge) command(_ mqtt.Client, m mqtt.Message) {
	p, err := sparkplug.Parse(m.Payload())
	if err != nil || len(p.Metrics) == 0 {
		e.t.Errorf("command %x: %v", m.Payload(), err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	one := p.Metrics[0]
	if one.Name == "Node Control/Rebirth" {
		if e.requests++; e.answers {
			e.birthLocked()
		}
		return
	}
	v, err := one.Plain(sparkplug.Unknown)
	text, _ := json.Marshal(v)
	if err == nil && e.echoes {
		kind := map[bool]string{true: "DDATA", false: "NDATA"}[strings.Contains(m.Topic(), "/DCMD/")]
		e.sayLocked(kind, 0, `{"name": %q, "value": %s, "type": %q}`, one.Name, text, one.Type)
	}
}

func (e *edge) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}
