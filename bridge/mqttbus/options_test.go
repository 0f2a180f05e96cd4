package mqttbus

import (
	"strings"
	"testing"
	"time"
)

func TestWrongOptionsAreAllReportedAtOnce(t *testing.T) {
	_, err := New(Options{
		Brokers:         []string{"http://x", "tcp://user:secret@host", "unix://", "tcp://", "tcp://host/path", "::"},
		KeepAlive:       1500 * time.Millisecond,
		PublishInFlight: 70_000,
		PayloadLimit:    -1,
	}, newRecorder())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"client id is empty", `scheme "http"`, "holds a user name", "no path", "no host", "a path makes no sense",
		"not a URL", "keep-alive 1.5s", "70000 publications in flight", "payload limit is -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestParseBroker(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://host": "tcp://host:1883", "mqtt://host": "tcp://host:1883", "mqtts://host": "ssl://host:8883",
		"ssl://[::1]": "ssl://[::1]:8883", "ws://host/mqtt": "ws://host:80/mqtt", "wss://host:1/": "wss://host:1/",
		"unix:///run/x.sock": "unix:///run/x.sock", "TCP://host:1": "tcp://host:1",
	} {
		u, err := ParseBroker(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if u.String() != want {
			t.Errorf("%s is %s, expected %s", in, u, want)
		}
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 30 * time.Second}
	for failures, limit := range map[int]time.Duration{0: 0, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 100: 30 * time.Second} {
		for range 50 {
			if d := b.wait(failures); d > limit || d < limit/2 {
				t.Fatalf("after %d failures %v, expected %v to %v", failures, d, limit/2, limit)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	for f, ok := range map[string]bool{
		"a": true, "/": true, "+": true, "#": true, "a/+/b": true, "a/#": true, "+/+": true, "$share/g/a/#": true, "$SYS/#": true,
		"": false, "a#": false, "a/#/b": false, "a+": false, "a/+b": false, "\x00": false, "\xff": false, "$share/g": false, "$share//a": false,
		"$share/+/a": false, strings.Repeat("x", 65536): false,
	} {
		if err := checkFilter(f); (err == nil) != ok {
			t.Errorf("%.20q: %v", f, err)
		}
	}
}

func TestCoveredFilters(t *testing.T) {
	cases := []struct {
		set, covered, not []string
	}{
		{[]string{"#"}, []string{"a", "+", "a/#", "+/#", "a/b"}, []string{"#", "$SYS/a", "$share/g/a"}},
		{[]string{"a/#"}, []string{"a", "a/b", "a/+", "a/b/#"}, []string{"a/#", "b", "+/b", "#"}},
		{[]string{"+/b"}, []string{"a/b"}, []string{"+/b", "a/+", "a/b/c", "$x/b", "#"}},
		{[]string{"a/+/c", "a/b/#"}, []string{"a/b/c", "a/b"}, []string{"a/+/c", "a/b/#", "a/+/#"}},
		{[]string{"$share/g/#"}, nil, []string{"a", "$share/g/#", "$share/g/a"}},
	}
	for _, c := range cases {
		var s filterSet
		for _, f := range c.set {
			s.add(f)
		}
		for _, f := range c.covered {
			if !s.covers(f) {
				t.Errorf("%v does not cover %s", c.set, f)
			}
		}
		for _, f := range c.not {
			if s.covers(f) {
				t.Errorf("%v covers %s", c.set, f)
			}
		}
	}
}
