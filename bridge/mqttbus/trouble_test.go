package mqttbus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
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
