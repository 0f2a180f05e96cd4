package rest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"thingbridge/edge/alwayson"
)

func TestRequestsOverTheLimitAreRefusedAtOnce(t *testing.T) {
	w := begin(t, func(o *Options) { o.InFlight = 3 })
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() { w.want(200, "held", "POST", pump+"Services/Hold", "") })
	}
	var release []func()
	for range 3 {
		release = append(release, <-w.device.held)
	}
	status, text, h := w.do("GET", pump+"Properties/note", "")
	if status != 503 || !strings.Contains(text, "3 requests are under way already") || h.Get("Retry-After") != "1" {
		t.Errorf("%d %s", status, text)
	}
	for _, f := range release {
		f()
	}
	calls.Wait()
	w.want(200, "", "GET", pump+"Properties/note", "")
}

func TestACallerThatLeavesKeepsItsPlaceUntilThePlatformIsDone(t *testing.T) {
	w := begin(t, func(o *Options) { o.InFlight = 1 })
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", w.base+pump+"Services/Hold", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if resp, err := w.http.Do(req); err == nil {
			resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	release := <-w.device.held
	leave()
	await(t, "the caller has left", func() bool { return counted(w.rest, outcomeGone) == 1 })
	w.want(503, "1 requests are under way already", "GET", pump+"Properties/note", "")
	release()
	await(t, "its place is free", func() bool { return w.rest.load.inFlight.Load() == 0 })
	w.want(200, "", "GET", pump+"Properties/note", "")
}

// A body of 20 KB makes a table of 400,000 cells.
func TestTablesAreBoundedTogether(t *testing.T) {
	w := begin(t, func(o *Options) { o.Cells = 1 })
	table := func(columns, rows int) string {
		var b strings.Builder
		for i := range columns {
			fmt.Fprintf(&b, `,"c%d":1`, i)
		}
		return `{"x":[{` + b.String()[1:] + "}" + strings.Repeat(",{}", rows-1) + "]}"
	}
	held := make(chan struct{})
	go func() {
		defer close(held)
		w.want(200, "held", "POST", pump+"Services/Hold", table(1000, 400))
	}()
	release := <-w.device.held
	if got := w.rest.load.cells.Load(); got != 400_001 {
		t.Errorf("%d cells count as under way; want 400001", got)
	}
	w.want(503, "cells", "POST", pump+"Services/Add", table(1000, 200))
	w.want(200, "", "POST", pump+"Services/Add", `{"a":1,"b":2}`)
	release()
	<-held
	await(t, "its room is free", func() bool { return w.rest.load.cells.Load() == 0 })
	w.want(200, "", "POST", pump+"Services/Add", table(1000, 200))
}

// A table of 100,000 cells stays in memory until its caller has read it.
func TestTablesOfAnswersAreBoundedTogether(t *testing.T) {
	w := begin(t, func(o *Options) { o.Cells = 1 })
	var slow []net.Conn
	for range 5 {
		slow = append(slow, slowly(t, w))
	}
	w.want(503, "the platform may have acted", "POST", pump+"Services/Big", "")
	w.want(200, "", "POST", pump+"Services/Add", `{"a":1,"b":2}`)
	for _, c := range slow {
		c.Close()
	}
	await(t, "their room is free", func() bool { return w.rest.load.answers.Load() == 0 })
	w.want(200, "", "POST", pump+"Services/Big", "")
}

// slowly begins a request whose answer is 20 MB of JSON, of which nothing is read.
func slowly(t *testing.T, w *world) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.rest.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("POST " + pump + "Services/Big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 15)
	if _, err := c.Read(first); err != nil || string(first) != "HTTP/1.1 200 OK" {
		t.Fatalf("%q %v", first, err)
	}
	return c
}

func TestBodiesAreBoundedTogether(t *testing.T) {
	w := begin(t, func(o *Options) { o.MaxMessage, o.BodyBytes = 1000, 1500 })
	held := make(chan struct{})
	go func() {
		defer close(held)
		w.want(200, "held", "POST", pump+"Services/Hold", `{"x":"`+strings.Repeat("x", 900)+`"}`)
	}()
	release := <-w.device.held
	w.want(503, "bodies", "POST", pump+"Services/Add", `{"a":1,"b":2,"x":"`+strings.Repeat("x", 800)+`"}`)
	w.want(200, "", "POST", pump+"Services/Add", `{"a":1,"b":2}`)
	release()
	<-held
	w.want(200, "", "POST", pump+"Services/Add", `{"a":1,"b":2,"x":"`+strings.Repeat("x", 800)+`"}`)
}

func TestACallerThatReadsSlowlyHoldsUpNobody(t *testing.T) {
	w := begin(t, nil)
	for range 8 {
		defer slowly(t, w).Close()
	}
	await(t, "all are being written", func() bool { return w.rest.load.inFlight.Load() == 8 })
	for range 50 {
		if _, text, _ := w.do("POST", pump+"Services/Add", `{"a":2,"b":3}`); result(t, text)["result"] != 5.0 {
			t.Fatal(text)
		}
	}
	if w.rest.load.inFlight.Load() != 8 {
		t.Error("somebody has read all the same")
	}
}

// ems answers for one Thing of the bridge's own.
type ems struct{}

func (ems) Serve(_ context.Context, method alwayson.Code, req *alwayson.Request) (*alwayson.Response, bool) {
	if req.Entity != "LocalEms" {
		return nil, false
	}
	if req.Name == "Large" {
		return alwayson.OK(alwayson.NewTable(&alwayson.InfoTable{Fields: []alwayson.Field{{Name: "n"}}, Rows: make([][]alwayson.Value, 1000)})), true
	}
	return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewString(method.String() + " " + req.Name)))), true
}

func TestTablesThatTheBridgeAnswersItselfCountToo(t *testing.T) {
	r, err := New(Options{Listen: "127.0.0.1:0", Platform: failing{alwayson.ErrNotConnected}, Local: ems{}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() int {
		q := httptest.NewRequest("POST", "http://localhost/Thingworx/Things/LocalEms/Services/Large", nil)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		return w.Code
	}
	if got := ask(); got != 200 || r.load.answers.Load() != 0 {
		t.Errorf("answered %d, %d cells are left", got, r.load.answers.Load())
	}
	r.load.answers.Store(2_000_000)
	if got := ask(); got != 503 || r.load.answers.Load() != 2_000_000 {
		t.Errorf("answered %d, %d cells are left", got, r.load.answers.Load())
	}
}
