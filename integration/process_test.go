package integration

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	patience = 20 * time.Second       // for whatever should take a moment
	look     = 5 * time.Millisecond   // between two looks
	stopWait = 15 * time.Second       // for a clean end
	logTail  = 6000                   // bytes of a process's output shown when a test failed
	noListen = 200 * time.Millisecond // for a dial
)

// eventually waits until ok says "" and fails with what it said last.
func eventually(t testing.TB, what string, ok func() string) time.Duration {
	t.Helper()
	return eventuallyWithin(t, patience, what, ok)
}

func eventuallyWithin(t testing.TB, limit time.Duration, what string, ok func() string) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		why := ok()
		if why == "" {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: not after %v: %s", what, limit, why)
		}
		<-tick.C
	}
}

// never watches for a while that ok stays "".
func never(t testing.TB, d time.Duration, ok func() string) {
	t.Helper()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if why := ok(); why != "" {
			t.Fatal(why)
		}
	}
}

// freeAddress gives a loopback address that nobody listens on at the moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, noListen)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// process is a child process.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // after done

	mu  sync.Mutex
	out bytes.Buffer
}

// Write takes the child's output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start runs a command until the test's end. Its output is shown when the test failed.
func start(t testing.TB, name, path string, args ...string) *process {
	t.Helper()
	return startIn(t, name, nil, path, args...)
}

// startIn is start with more in the environment.
func startIn(t testing.TB, name string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	// A group of its own: some programs are scripts that start the real one.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		for _, bad := range []string{"DATA RACE", "panic: "} {
			if strings.Contains(p.output(), bad) {
				t.Errorf("%s said %q", name, bad)
			}
		}
		if t.Failed() {
			t.Logf("%s (process %d) said:\n%s", name, p.cmd.Process.Pid, p.tail())
		}
	})
	return p
}

func (p *process) tail() string {
	out := p.output()
	if len(out) > logTail {
		out = "…" + out[len(out)-logTail:]
	}
	return out
}

// kill ends it at once and waits for its end.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stop asks it to end with SIGTERM and wants it to end well in time.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if got := p.end(t); got != 0 {
		t.Fatalf("%s ended with %v, exit status %d; want 0:\n%s", p.name, p.err, got, p.tail())
	}
}

// end asks it to end with SIGTERM, wants it to do so in time, and gives its exit status.
func (p *process) end(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopWait):
		t.Fatalf("%s has not ended %v after SIGTERM", p.name, stopWait)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// upOn waits until the process listens on address.
func (p *process) upOn(t testing.TB, address string) {
	t.Helper()
	eventuallyWithin(t, 3*patience, p.name+" listens", func() string {
		if p.ended() {
			t.Fatalf("%s ended: %v\n%s", p.name, p.err, p.tail())
		}
		if !listens(address) {
			return "nobody listens on " + address
		}
		return ""
	})
}

// runOnce runs the binary to its end and gives its exit code and output.
func runOnce(t testing.TB, args ...string) (int, string) {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", binary, strings.Join(args, " "), err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}
