package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// serviceManager is whoever started the process and wants to know how it fares, as
// systemd does by sd_notify(3): datagrams with lines like READY=1 to the socket that
// NOTIFY_SOCKET names. A nil one is told nothing.
type serviceManager struct {
	address  *net.UnixAddr
	watchdog time.Duration // without WATCHDOG=1 for so long the process is killed; 0: it is not
	log      *slog.Logger
	unheard  bool // telling failed, which is logged once; owned by run's goroutine
}

const (
	managerLook = 10 * time.Second // between two looks at how things are
	managerTell = time.Second      // for one datagram
)

// newServiceManager reads the environment; nil where nobody wants to know.
func newServiceManager(getenv func(string) string, log *slog.Logger) *serviceManager {
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	m := &serviceManager{address: &net.UnixAddr{Name: socket, Net: "unixgram"}, log: log}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if pid := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = time.Duration(usec) * time.Microsecond
	}
	return m
}

// tell sends one datagram.
func (m *serviceManager) tell(lines ...string) error {
	if m == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, m.address)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(managerTell)); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// reloading tells that a reload begins; the returned function, that it has ended.
func (m *serviceManager) reloading() (ended func()) {
	if m == nil {
		return func() {}
	}
	lines := []string{"RELOADING=1"}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		lines = append(lines, fmt.Sprint("MONOTONIC_USEC=", now.Nano()/1000))
	}
	m.warn(m.tell(lines...))
	return func() { m.warn(m.tell("READY=1")) }
}

func (m *serviceManager) warn(err error) {
	if err != nil {
		m.log.Warn("the service manager does not listen", "error", err)
	}
}

// loop is a main loop of the process: probe has it call answered.
type loop struct {
	name  string
	probe func(answered func())
}

// loops are those without which a bridge works no more: that of the registry and of
// all timers, that which takes the broker's messages, and that which brings what the
// platform says.
func (a *app) loops() []loop {
	return []loop{{"registry", a.bridge.Probe}, {"messages", a.bus.Probe}, {"platform", a.client.Probe}}
}

// run tells READY=1 once every loop has answered, whether or not broker and platform
// are reached; from then on WATCHDOG=1 each time that all have, and STATUS= when what
// status gives has changed; at the end of ctx STOPPING=1.
func (m *serviceManager) run(ctx context.Context, loops []loop, status func() string) error {
	every := managerLook
	if m.watchdog > 0 {
		every = max(min(every, m.watchdog/4), time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var answers chan int
	var silent map[int]bool // loops that were asked and have not answered
	ask := func() {
		answers, silent = make(chan int, len(loops)), map[int]bool{}
		for i, l := range loops {
			silent[i] = true
			to := answers
			l.probe(func() { to <- i })
		}
	}
	ready, quiet, told := false, false, ""
	ask()
	for {
		select {
		case <-ctx.Done():
			m.warn(m.tell("STOPPING=1"))
			return nil
		case i := <-answers:
			if delete(silent, i); len(silent) > 0 {
				continue
			}
			var lines []string
			if !ready {
				lines, ready = append(lines, "READY=1"), true
			}
			if m.watchdog > 0 {
				lines = append(lines, "WATCHDOG=1")
			}
			if text := status(); text != told {
				lines, told = append(lines, "STATUS="+text), text
			}
			if quiet {
				m.log.Warn("the main loops answer again")
				quiet = false
			}
			m.report(lines)
		case <-tick.C:
			if len(silent) == 0 {
				ask()
			} else if !quiet {
				quiet = true
				m.log.Error("a main loop does not answer", "what", silentNames(loops, silent), "after", every.String(), "limit", m.watchdog.String())
			}
		}
	}
}

// report tells lines, and logs once if nobody takes them.
func (m *serviceManager) report(lines []string) {
	if len(lines) == 0 {
		return
	}
	err := m.tell(lines...)
	if err != nil && !m.unheard {
		m.warn(err)
	}
	m.unheard = err != nil
}

func silentNames(loops []loop, silent map[int]bool) string {
	var names []string
	for i, l := range loops {
		if silent[i] {
			names = append(names, l.name)
		}
	}
	return strings.Join(names, " ")
}

// fares says in a line how the bridge fares.
func (a *app) fares() string {
	p := a.client.Status()
	text := fmt.Sprintf("broker %s, platform %s, %d of %d Things bound", upText(a.bus.Status().Up), upText(p.Connected), p.Bound, p.Wanted)
	if last := a.reload.status().Last; last != nil && !last.OK {
		text += "; the changed configuration is refused, the one before is in force"
	}
	return text
}
