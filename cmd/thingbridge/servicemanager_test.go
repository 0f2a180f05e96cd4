package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/config"
)

// systemd is the socket of a service manager.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "tb") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &systemd{t, conn}
}

// environment is what systemd puts into that of a service.
func (s *systemd) environment(more ...string) func(string) string {
	vars := map[string]string{"NOTIFY_SOCKET": s.conn.LocalAddr().String()}
	for _, v := range more {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return func(name string) string { return vars[name] }
}

// next gives the next datagram, if it comes in the test's time.
func (s *systemd) next() string {
	s.t.Helper()
	b := make([]byte, 4096)
	n, err := s.conn.Read(b)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b[:n])
}

func TestTheServiceManagerIsReadFromTheEnvironment(t *testing.T) {
	pid := "WATCHDOG_PID=" + strconv.Itoa(os.Getpid())
	s := newSystemd(t)
	if m := newServiceManager(func(string) string { return "" }, nil); m != nil {
		t.Error("one is there without a socket")
	}
	for name, c := range map[string]struct {
		env  []string
		want time.Duration
	}{
		"no watchdog":               {nil, 0},
		"a watchdog":                {[]string{"WATCHDOG_USEC=3000000"}, 3 * time.Second},
		"a watchdog of ours":        {[]string{"WATCHDOG_USEC=3000000", pid}, 3 * time.Second},
		"the watchdog of another":   {[]string{"WATCHDOG_USEC=3000000", "WATCHDOG_PID=1"}, 0},
		"a time that is none":       {[]string{"WATCHDOG_USEC=soon", pid}, 0},
		"a time that has no length": {[]string{"WATCHDOG_USEC=0", pid}, 0},
	} {
		if m := newServiceManager(s.environment(c.env...), nil); m == nil || m.watchdog != c.want {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestTheWatchdogIsFedOnlyWhileEveryLoopAnswers(t *testing.T) {
	s := newSystemd(t)
	out := newOutput()
	m := newServiceManager(s.environment("WATCHDOG_USEC=40000"), slog.New(slog.NewTextHandler(out, nil)))
	probes := make(chan func())
	var phase atomic.Value
	phase.Store("begun")
	ctx, stop := context.WithCancel(t.Context())
	slow := func(answered func()) {
		go func() {
			select {
			case probes <- answered:
			case <-ctx.Done():
			}
		}()
	}
	loops := []loop{{"good", func(answered func()) { answered() }}, {"slow", slow}}
	done := make(chan error, 1)
	go func() { done <- m.run(ctx, loops, func() string { return phase.Load().(string) }) }()

	(<-probes)()
	if got := s.next(); got != "READY=1\nWATCHDOG=1\nSTATUS=begun" {
		t.Errorf("at the start %q", got)
	}
	answer := <-probes
	phase.Store("silent")
	out.wait(ctx, t, "a main loop does not answer")
	if text := out.String(); !strings.Contains(text, "what=slow") || strings.Count(text, "\n") != 1 {
		t.Errorf("the log: %s", text)
	}
	phase.Store("back")
	answer()
	if got := s.next(); got != "WATCHDOG=1\nSTATUS=back" { // and none while it was silent
		t.Errorf("after the answer %q", got)
	}
	out.wait(ctx, t, "the main loops answer again")
	(<-probes)()
	if got := s.next(); got != "WATCHDOG=1" {
		t.Errorf("with nothing new %q", got)
	}
	(<-probes)()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for got := s.next(); got != "STOPPING=1"; got = s.next() {
		if got != "WATCHDOG=1" {
			t.Errorf("at the end %q", got)
		}
	}
}

func TestAServiceManagerThatIsGoneHoldsUpNothing(t *testing.T) {
	s := newSystemd(t)
	out := newOutput()
	m := newServiceManager(s.environment("WATCHDOG_USEC=4000"), slog.New(slog.NewTextHandler(out, nil)))
	s.conn.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	rounds := make(chan struct{})
	go func() {
		done <- m.run(ctx, []loop{{"good", func(answered func()) { answered(); rounds <- struct{}{} }}}, func() string { return "" })
	}()
	for range 5 {
		<-rounds
	}
	if n := strings.Count(out.String(), "does not listen"); n != 1 {
		t.Errorf("%d lines: %s", n, out.String())
	}
	stop()
	for {
		select {
		case <-rounds:
			continue
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		}
		return
	}
}

func TestTheBridgeTellsTheServiceManagerHowItFares(t *testing.T) {
	w, s := newWorld(t), newSystemd(t)
	log := slog.New(slog.DiscardHandler)
	hangup := make(chan os.Signal, 1)
	a, err := newApp(w.config(t, ""), log, appOptions{
		hangup: hangup, manager: newServiceManager(s.environment("WATCHDOG_USEC=400000"), log),
		source: &config.Options{File: "nonexistent.yaml"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	if got := s.next(); !strings.HasPrefix(got, "READY=1\nWATCHDOG=1\nSTATUS=broker ") {
		t.Errorf("at the start %q", got)
	}
	refused := false // the file is not there, which the bridge may find by itself as well
	next := func() string {
		got := s.next()
		refused = refused || strings.HasSuffix(got, "; the changed configuration is refused, the one before is in force")
		return got
	}
	wait := func(begin string) string {
		for {
			if got := next(); strings.HasPrefix(got, begin) {
				return got
			} else if !strings.HasPrefix(got, "WATCHDOG=1") {
				t.Errorf("%q before %q", got, begin)
			}
		}
	}
	for !strings.Contains(wait("WATCHDOG=1"), "STATUS=broker up, platform up, 3 of 3 Things bound") {
	}
	hangup <- os.Interrupt
	if got := wait("RELOADING=1"); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at a reload %q", got)
	}
	wait("READY=1")
	for !refused {
		wait("WATCHDOG=1")
	}
	stop()
	wait("STOPPING=1")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
