package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"thingbridge/mapping/sparkplug"
)

// TestSparkplugConformance tries what Sparkplug's conformance kit asserts of a host
// application, by the names that the kit has for it. What the kit has a tester
// look at in the host application is looked at on the platform: stale is what is
// not connected there.
func TestSparkplugConformance(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	taps := newTap(t, b.proxy.Listen)
	tapped := &broker{t: t, run: b.run, proxy: newProxy(t, "tap", taps.listener.Addr().String())}
	br := newBridge(t, tapped, s.webSocket(s.address), "profiles: [{preset: sparkplug-b, with: {host_id: plant 7, rebirth_interval: 1s, reorder_timeout: 1s}}]\n")
	br.waitReady()
	k := &kit{t: t, taps: taps}
	eventually(t, "the host says that it is there", func() string {
		if len(k.states()) == 0 {
			return "it says nothing"
		}
		return ""
	})
	k.sessionEstablishment()

	e := newEdge(t, b)
	e.birth()
	s.waitBound(edgeThing, deviceThing)
	k.receiveData(s, e)
	k.sendCommands(s, e)
	k.messageOrdering(s, e)
	k.edgeTermination(s, e, b)
	k.foreignState(b)
	br.p.stop(t)
	k.sessionTermination()
}

type kit struct {
	t    *testing.T
	taps *tap
}

const stateTopic = "spBv1.0/STATE/plant 7"

type stateWords struct {
	Online    *bool  `json:"online"`
	Timestamp *int64 `json:"timestamp"`
}

func parseState(t testing.TB, text string) (online bool, timestamp int64) {
	t.Helper()
	var s stateWords
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || s.Online == nil || s.Timestamp == nil {
		t.Fatalf("%q: %v", text, err)
	}
	return *s.Online, *s.Timestamp
}

func isState(p packet) bool { return p.kind == 3 && p.topic == stateTopic }

func (k *kit) states() []packet { return k.taps.said(isState) }

// connection is the CONNECT of the newest connection that speaks for the host.
func (k *kit) connection() packet {
	k.t.Helper()
	all := k.taps.said(func(p packet) bool { return p.kind == 1 && p.connect.willTopic == stateTopic })
	if len(all) == 0 {
		k.t.Fatal("no connection has the will of a host")
	}
	return all[len(all)-1]
}

// each runs a check once for each of the kit's names for it.
func (k *kit) each(names []string, check func(t *testing.T)) {
	k.t.Helper()
	for _, name := range names {
		k.t.Run("tck-id-"+name, check)
	}
}

func (k *kit) sessionEstablishment() {
	connect, birth := k.connection(), k.states()[0]
	k.each([]string{"conformance-primary-host", "components-ph-state", "intro-sparkplug-host-state", "host-topic-phid-birth-required",
		"operational-behavior-host-application-connect-birth", "message-flow-phid-sparkplug-state-publish", "payloads-state-birth"}, func(t *testing.T) {
		if online, _ := parseState(t, birth.payload); !online || birth.conn != connect.conn {
			t.Errorf("%q on connection %d, the host's is %d", birth.payload, birth.conn, connect.conn)
		}
	})
	k.each([]string{"message-flow-phid-sparkplug-clean-session-311"}, func(t *testing.T) {
		if !connect.connect.clean {
			t.Error("the session of the host is not clean")
		}
	})
	k.each([]string{"message-flow-phid-sparkplug-subscription", "host-topic-phid-birth-sub-required", "payloads-state-subscribe"}, func(t *testing.T) {
		said := k.taps.index(isState)
		for _, filter := range []string{stateTopic, "spBv1.0/+/NBIRTH/+", "spBv1.0/+/NDEATH/+", "spBv1.0/+/NDATA/+",
			"spBv1.0/+/DBIRTH/+/+", "spBv1.0/+/DDEATH/+/+", "spBv1.0/+/DDATA/+/+"} {
			at := k.taps.index(func(p packet) bool { return p.kind == 8 && slices.Contains(p.filters, filter) })
			if at < 0 || at > said {
				t.Errorf("%s is subscribed at place %d, the state is said at %d", filter, at, said)
			}
		}
	})
	k.each([]string{"principles-birth-certificates-order"}, func(t *testing.T) {
		first := k.taps.said(func(p packet) bool { return p.kind == 3 && p.conn == connect.conn })[0]
		if first.topic != stateTopic {
			t.Errorf("the first message is on %s", first.topic)
		}
	})
	k.each([]string{"host-topic-phid-birth-topic", "operational-behavior-host-application-connect-birth-topic"}, func(t *testing.T) {
		if birth.topic != "spBv1.0/STATE/plant 7" {
			t.Error(birth.topic)
		}
	})
	k.each([]string{"host-topic-phid-birth-payload", "host-topic-phid-birth-message", "message-flow-phid-sparkplug-state-publish-payload",
		"operational-behavior-host-application-connect-birth-payload", "payloads-state-birth-payload"}, func(t *testing.T) {
		if online, at := parseState(t, birth.payload); !online || time.Since(time.UnixMilli(at)).Abs() > time.Minute {
			t.Error(birth.payload)
		}
	})
	k.each([]string{"host-topic-phid-birth-payload-timestamp", "message-flow-phid-sparkplug-state-publish-payload-timestamp"}, func(t *testing.T) {
		_, said := parseState(t, birth.payload)
		if _, will := parseState(t, connect.connect.willWords); will != said {
			t.Errorf("the will is of %d, the birth of %d", will, said)
		}
	})
	k.each([]string{"host-topic-phid-birth-qos", "operational-behavior-host-application-connect-birth-qos"}, func(t *testing.T) {
		if birth.qos != 1 {
			t.Error(birth.qos)
		}
	})
	k.each([]string{"host-topic-phid-birth-retain", "operational-behavior-host-application-connect-birth-retained"}, func(t *testing.T) {
		if !birth.retain {
			t.Error("not retained")
		}
	})
	k.wills(connect.connect)
}

func (k *kit) wills(c connectPacket) {
	k.each([]string{"host-topic-phid-death-required", "operational-behavior-host-application-connect-will", "payloads-state-will-message"}, func(t *testing.T) {
		if !c.will {
			t.Error("the CONNECT has no will")
		}
	})
	k.each([]string{"host-topic-phid-death-topic", "operational-behavior-host-application-connect-will-topic"}, func(t *testing.T) {
		if c.willTopic != "spBv1.0/STATE/plant 7" {
			t.Error(c.willTopic)
		}
	})
	k.each([]string{"host-topic-phid-death-payload", "operational-behavior-host-application-connect-will-payload", "payloads-state-will-message-payload"}, func(t *testing.T) {
		if online, _ := parseState(t, c.willWords); online {
			t.Error(c.willWords)
		}
	})
	k.each([]string{"host-topic-phid-death-payload-timestamp-connect"}, func(t *testing.T) {
		if _, at := parseState(t, c.willWords); time.Since(time.UnixMilli(at)).Abs() > time.Minute {
			t.Error(c.willWords)
		}
	})
	k.each([]string{"host-topic-phid-death-qos", "operational-behavior-host-application-connect-will-qos", "payloads-state-will-message-qos"}, func(t *testing.T) {
		if c.willQoS != 1 {
			t.Error(c.willQoS)
		}
	})
	k.each([]string{"host-topic-phid-death-retain", "operational-behavior-host-application-connect-will-retained", "payloads-state-will-message-retain"}, func(t *testing.T) {
		if !c.willRetain {
			t.Error("not retained")
		}
	})
}

// receiveData: the kit shows data of a node and of a device, and has them looked at.
func (k *kit) receiveData(s *platform, e *edge) {
	k.t.Run("data of the edge node", func(*testing.T) {
		e.say("NDATA", 0, `{"alias": 1, "value": 7, "type": "Int32"}`)
		s.waitProperty(edgeThing, "TCK_metric_Int32", "7")
	})
	k.t.Run("data of the device", func(*testing.T) {
		e.say("DDATA", 0, `{"alias": 2, "value": true}`)
		s.waitProperty(deviceThing, "Inputs_0", "true")
	})
}

// commands gives what was sent to a topic so far.
func (k *kit) commands(topic, metric string) []packet {
	return k.taps.said(func(p packet) bool { return p.kind == 3 && p.topic == topic && strings.Contains(p.payload, metric) })
}

func (k *kit) sendCommands(s *platform, e *edge) {
	write := func(thing, property string, v any) {
		k.t.Helper()
		s.do(http.MethodPut, "/Thingworx/Things/"+strings.ReplaceAll(thing, " ", "%20")+"/Properties/"+property, map[string]any{property: v}).want(k.t, http.StatusOK)
	}
	write(edgeThing, "TCK_metric_Int32", -9)
	write(deviceThing, "Inputs_0", false)
	s.call(edgeThing, "Rebirth", nil).want(k.t, http.StatusOK)
	for _, c := range []struct {
		kind, topic, metric string
		datatype            sparkplug.DataType
		value               any
	}{
		{"ncmd", fmt.Sprintf(edgeTopic, "NCMD"), "TCK_metric/Int32", sparkplug.Int32, -9},
		{"dcmd", fmt.Sprintf(edgeTopic, "DCMD") + "/Pibrella", "Inputs/0", sparkplug.Boolean, false},
		{"ncmd-rebirth", fmt.Sprintf(edgeTopic, "NCMD"), "Node Control/Rebirth", sparkplug.Boolean, true},
	} {
		sent := k.commands(c.topic, c.metric)
		if len(sent) == 0 {
			k.t.Fatalf("no command on %s", c.topic)
		}
		p, err := sparkplug.Parse([]byte(sent[len(sent)-1].payload))
		if err != nil || len(p.Metrics) != 1 {
			k.t.Fatalf("%v %v", p, err)
		}
		k.command(c.kind, sent[len(sent)-1], p, c.metric, c.datatype, c.value)
	}
}

func (k *kit) command(kind string, sent packet, p *sparkplug.Payload, metric string, datatype sparkplug.DataType, value any) {
	const behavior = "operational-behavior-data-commands-"
	names := func(of ...string) []string { return of }
	m := p.Metrics[0]
	metricName, metricValue := behavior+kind+"-metric-name", behavior+kind+"-metric-value"
	if kind == "ncmd-rebirth" {
		metricName, metricValue = behavior+kind+"-name", behavior+kind+"-value"
	}
	k.each(names(behavior+kind+"-verb"), func(t *testing.T) {
		if word := map[bool]string{true: "/NCMD/", false: "/DCMD/"}[kind[0] == 'n']; !strings.Contains(sent.topic, word) {
			t.Error(sent.topic)
		}
	})
	k.each(names(metricName), func(t *testing.T) {
		if m.Name != metric || m.Alias != nil || m.Type != datatype {
			t.Errorf("%s %v %s", m.Name, m.Alias, m.Type)
		}
	})
	k.each(names(metricValue), func(t *testing.T) {
		if v, err := m.Plain(sparkplug.Unknown); v != value || err != nil {
			t.Errorf("%v %v", v, err)
		}
	})
	if kind == "ncmd-rebirth" {
		return
	}
	k.each(names("topics-"+kind+"-mqtt", "payloads-"+kind+"-qos", "payloads-"+kind+"-retain"), func(t *testing.T) {
		if sent.qos != 0 || sent.retain {
			t.Errorf("quality of service %d, retained %v", sent.qos, sent.retain)
		}
	})
	k.each(names("topics-"+kind+"-timestamp", "payloads-"+kind+"-timestamp"), func(t *testing.T) {
		if p.Timestamp == nil || time.Since(time.UnixMilli(int64(*p.Timestamp))).Abs() > time.Minute {
			t.Error(p.Timestamp)
		}
	})
	k.each(names("payloads-"+kind+"-seq"), func(t *testing.T) {
		if p.Seq != nil {
			t.Error(*p.Seq)
		}
	})
	k.each(names("topics-"+kind+"-payload"), func(t *testing.T) {
		if v, err := m.Plain(sparkplug.Unknown); v == nil || err != nil {
			t.Error("no value")
		}
	})
}

func (k *kit) messageOrdering(s *platform, e *edge) {
	set := func(answers bool) int {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.answers = answers
		return e.requests
	}
	before := set(false)
	e.say("DDATA", 0, `{"name": "Temperature", "value": 21}`)
	s.waitProperty(deviceThing, "Temperature", "21")
	started := time.Now()
	e.say("DDATA", 1, `{"name": "Temperature", "value": 23}`) // one is missing before it
	const behavior = "operational-behavior-host-reordering-"
	k.each([]string{behavior + "start"}, func(t *testing.T) {
		never(t, 300*time.Millisecond, func() string {
			if n := e.asked(); n != before {
				return fmt.Sprintf("%d requests before the time is over", n-before)
			}
			return ""
		})
		s.waitProperty(deviceThing, "Temperature", "21") // it waits
	})
	k.each([]string{behavior + "rebirth"}, func(t *testing.T) {
		eventually(t, "a request for the births", func() string {
			if e.asked() == before {
				return "none"
			}
			return ""
		})
		s.waitProperty(deviceThing, "Temperature", "23") // nothing is lost
	})
	k.each([]string{behavior + "param"}, func(t *testing.T) {
		if took := time.Since(started); took < 900*time.Millisecond {
			t.Errorf("asked after %v; reorder_timeout is 1s", took)
		}
	})
	set(true)
	e.birth()
	s.waitProperty(deviceThing, "Temperature", "20")
	before = e.asked()
	k.each([]string{behavior + "success"}, func(t *testing.T) {
		e.say("DDATA", 1, `{"name": "Temperature", "value": 32}`)
		e.say("DDATA", 0, `{"name": "Temperature", "value": 31}`) // the missing one
		s.waitProperty(deviceThing, "Temperature", "32")
		e.mu.Lock()
		e.seq++
		e.mu.Unlock()
		e.say("DDATA", 0, `{"name": "Temperature", "value": 33}`)
		s.waitProperty(deviceThing, "Temperature", "33")
		never(t, 1200*time.Millisecond, func() string {
			if n := e.asked(); n != before {
				return fmt.Sprintf("%d requests", n-before)
			}
			return ""
		})
		var order []string
		pushes, err := s.pushes(deviceThing)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pushes {
			if v := string(p.Value); p.Name == "Temperature" && v > "30" {
				order = append(order, v)
			}
		}
		if !slices.Equal(order, []string{"31", "32", "33"}) {
			t.Errorf("they came in the order %v", order)
		}
	})
}

func (k *kit) edgeTermination(s *platform, e *edge, b *broker) {
	const action = "operational-behavior-edge-node-termination-host-action-"
	e.say("DDEATH", 0, "")
	k.each([]string{action + "ddeath-devices-offline", action + "ddeath-devices-tags-stale"}, func(*testing.T) {
		s.waitBound(edgeThing)
	})
	e.birth()
	s.waitBound(edgeThing, deviceThing)
	e.client.Publish(fmt.Sprintf(edgeTopic, "NDEATH"), 1, false, e.payload(`{"metrics": [{"name": "bdSeq", "type": "Int64", "value": 200}]}`)).WaitTimeout(patience)
	e.say("NDATA", 0, `{"alias": 1, "value": 8}`)
	s.waitProperty(edgeThing, "TCK_metric_Int32", "8")
	s.waitBound(edgeThing, deviceThing) // a death of another session is nobody's
	e.client.Publish(fmt.Sprintf(edgeTopic, "NDEATH"), 1, false, e.payload(`{"metrics": [{"name": "bdSeq", "type": "Int64", "value": %d}]}`, e.bdSeq)).WaitTimeout(patience)
	k.each([]string{action + "ndeath-node-offline", action + "ndeath-node-tags-stale"}, func(*testing.T) { s.waitThing(edgeThing, false) })
	k.each([]string{action + "ndeath-devices-offline", action + "ndeath-devices-tags-stale"}, func(*testing.T) { s.waitThing(deviceThing, false) })
}

func (k *kit) foreignState(b *broker) {
	_, want := parseState(k.t, k.connection().connect.willWords)
	before := len(k.states())
	d := newDevice(k.t, b, "stranger")
	d.retain(stateTopic, `{"online": false, "timestamp": 1}`)
	k.each([]string{"message-flow-hid-sparkplug-state-message-delivered"}, func(t *testing.T) {
		eventually(t, "the host says again that it is there", func() string {
			if len(k.states()) == before {
				return "it says nothing"
			}
			return ""
		})
		if online, at := parseState(t, k.states()[before].payload); !online || at != want {
			t.Errorf("%s, the will is of %d", k.states()[before].payload, want)
		}
	})
	k.taps.cut()
	k.each([]string{"operational-behavior-host-application-multi-server-timestamp"}, func(t *testing.T) {
		eventually(t, "the host connects again with a timestamp of its own", func() string {
			if _, at := parseState(t, k.connection().connect.willWords); at <= want {
				return "not yet"
			}
			return ""
		})
	})
	eventually(k.t, "the birth on the new connection", func() string {
		all := k.states()
		if all[len(all)-1].conn != k.connection().conn {
			return "not yet"
		}
		return ""
	})
}

func (k *kit) sessionTermination() {
	all, connect := k.states(), k.connection()
	last := all[len(all)-1]
	k.each([]string{"operational-behavior-host-application-termination", "operational-behavior-host-application-disconnect-intentional"}, func(t *testing.T) {
		said := k.taps.index(func(p packet) bool {
			return isState(p) && p.conn == connect.conn && strings.Contains(p.payload, "false")
		})
		left := k.taps.index(func(p packet) bool { return p.kind == 14 && p.conn == connect.conn })
		if said < 0 || left < said {
			t.Errorf("the last word is at place %d, DISCONNECT at %d", said, left)
		}
	})
	k.each([]string{"operational-behavior-host-application-death-topic"}, func(t *testing.T) {
		if last.topic != stateTopic || last.conn != connect.conn {
			t.Errorf("%s on connection %d", last.topic, last.conn)
		}
	})
	k.each([]string{"operational-behavior-host-application-death-payload", "host-topic-phid-death-payload-timestamp-disconnect-clean"}, func(t *testing.T) {
		if online, at := parseState(t, last.payload); online || time.Since(time.UnixMilli(at)).Abs() > time.Minute {
			t.Error(last.payload)
		}
	})
	k.each([]string{"operational-behavior-host-application-death-qos"}, func(t *testing.T) {
		if last.qos != 1 {
			t.Error(last.qos)
		}
	})
	k.each([]string{"operational-behavior-host-application-death-retained"}, func(t *testing.T) {
		if !last.retain {
			t.Error("not retained")
		}
	})
}
