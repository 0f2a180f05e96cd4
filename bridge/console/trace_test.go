package console

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
)

// running is a console that serves until the test's end.
type running struct {
	t      *testing.T
	url    string
	source *source
	stop   func() // and waits until it has ended
}

func run(t *testing.T, change func(*Options)) *running {
	t.Helper()
	o := options()
	s := o.Source.(*source)
	s.bridge = newBridge(t)
	change(&o)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	r := &running{t: t, url: "http://" + c.Addr().String(), source: s}
	done := false
	r.stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// open asks for a trace; lines gives the data of its events, by name.
func (r *running) open(query string, header http.Header) (*http.Response, func() (name, data string)) {
	r.t.Helper()
	req, err := http.NewRequest("GET", r.url+"/api/v1/trace"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = header
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return resp, func() (name, data string) {
		for in.Scan() {
			if text, ok := strings.CutPrefix(in.Text(), "event: "); ok {
				name = text
			}
			if text, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				return name, text
			}
			if in.Text() == ": begins" {
				return "begins", ""
			}
		}
		return "", ""
	}
}

func TestATraceStreamsWhatFitsItsFilter(t *testing.T) {
	r := run(t, func(o *Options) { o.Token = "T" })
	if resp, _ := r.open("", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
	resp, next := r.open("?thing=PUMP&topic=things/%2B/properties/%23", http.Header{"Authorization": {"Bearer T"}})
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it is %s", got)
	}
	next()
	b := r.source.bridge
	for _, name := range []string{"pump-1", "fan-1"} {
		hand(b, "things/"+name+"/announce", "{}")
		hand(b, "things/"+name+"/properties/temp", "21.5")
	}
	hand(b, "things/pump-1/properties/note", "<script>\n\nevent: x\ndata: y\n\n")
	for _, want := range []string{`"topic":"things/pump-1/properties/temp"`, `<script>\n\nevent: x`} {
		name, data := next()
		var l bridge.TraceLine
		if err := json.Unmarshal([]byte(data), &l); err != nil || name != "line" {
			t.Fatalf("%s %q: %v", name, data, err)
		}
		if text := strings.ReplaceAll(data, `\u003c`, "<"); !strings.Contains(strings.ReplaceAll(text, `\u003e`, ">"), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestTracesAreBoundedAndEndWithTheConsole(t *testing.T) {
	r := run(t, func(o *Options) { o.Traces, o.StopTimeout = 1, time.Hour })
	_, next := r.open("", nil)
	next()
	resp, _ := r.open("", nil)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "1 traces are open already") {
		t.Errorf("one too many gets %d %s", resp.StatusCode, body)
	}
	r.stop() // and so it does not wait for an hour
	if name, _ := next(); name != "" {
		t.Errorf("after the end there is %s", name)
	}
}

func TestAClosedTraceMakesRoom(t *testing.T) {
	r := run(t, func(o *Options) { o.Traces = 1 })
	first, next := r.open("", nil)
	next()
	first.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp, _ := r.open("", nil)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place is not given back")
		}
	}
}
