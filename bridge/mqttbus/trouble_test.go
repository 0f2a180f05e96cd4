package mqttbus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

func TestEachReasonOfAnOutageIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var episode trouble
	for i := range 1000 {
		episode.note(log, errors.New("connect to tcp://a: connection refused"))
		episode.note(log, fmt.Errorf("connect to tcp://b: read tcp 10.0.0.1:%d->10.0.0.2:1883: read: connection reset by peer", 30000+i))
		episode.note(log, fmt.Errorf("connect to tcp://b: read tcp [::1]:%d->[::1]:1883: read: connection reset by peer", 30000+i))
	}
	if got := strings.Count(out.String(), "\n"); got != 3 || episode.count != 3000 {
		t.Errorf("%d lines of %d attempts:\n%s", got, episode.count, out.String())
	}
	out.Reset()
	for i := range 1000 {
		episode.note(log, fmt.Errorf("reason %d", i))
	}
	if got := strings.Count(out.String(), "\n"); got != mostReasons-3 {
		t.Errorf("%d more lines of reasons without end, want %d", got, mostReasons-3)
	}
}

func TestPayloadsAreLoggedAtDebugAlone(t *testing.T) {
	br := startBroker(t, broker.Options{})
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 2} {
		t.Run(level.String(), func(t *testing.T) {
			var log logSink
			o := testOptions(t, br.URL())
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			r := newRecorder()
			b, stop := startBus(t, o, r, "log/#")
			receive(t, r.up, "BusUp")
			b.Publish(bridge.Publication{Topic: "log/text", Payload: []byte(strings.Repeat("ä", 200)), QoS: 1}, nil)
			b.Publish(bridge.Publication{Topic: "log/bytes", Payload: []byte{0xff, 0}, QoS: 1}, nil)
			for range 2 {
				m := receive(t, r.messages, "message")
				m.Ack()
			}
			stop()
			for _, text := range []string{"topic=log/text bytes=400 payload=" + strings.Repeat("ä", 150) + "\n", `topic=log/bytes bytes=2 payload="\"\\xff\\x00\""`} {
				if n := strings.Count(log.String(), text); n != want {
					t.Errorf("%d lines with %q, want %d, in\n%s", n, text, want, log.String())
				}
			}
		})
	}
}
