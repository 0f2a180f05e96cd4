package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startWait  = 20 * time.Second // for a process to listen
	stopWait   = 15 * time.Second // for its end after SIGTERM
	keptOutput = 32 << 10         // bytes of a process's output kept for an error
	clockTick  = 100              // of /proc/PID/stat, per second
)

// process is a child. What it says is kept for the case that it fails.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // after done

	mu  sync.Mutex // guards the following
	out bytes.Buffer
}

// Write takes the child's output; the oldest goes first.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	if extra := p.out.Len() - keptOutput; extra > 0 {
		p.out.Next(extra)
	}
	return len(b), nil
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimSpace(p.out.String())
}

// startProcess runs a command until stop.
func startProcess(name, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	return p, p.begin()
}

func (p *process) begin() error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return nil
}

// stop ends the process and waits for its end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWait):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// ended gives an error once the process is gone.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%v): %s", p.name, p.err, p.said())
	default:
		return nil
	}
}

// upOn waits until the process listens on address.
func (p *process) upOn(address string) error {
	return waitFor(startWait, lookEvery, p.name+" listens on "+address, func() (bool, error) {
		if err := p.ended(); err != nil {
			return false, err
		}
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// cpu is the processor time that the process has used so far.
func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseCPU(string(b))
}

// parseCPU reads user and system time out of a line of /proc/PID/stat.
func parseCPU(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the command's name may hold anything
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / clockTick
}

// rss is the process's resident memory in bytes.
func (p *process) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return parseRSS(string(b))
}

// parseRSS reads VmRSS out of /proc/PID/status.
func parseRSS(status string) int64 {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

const lookEvery = 5 * time.Millisecond

// waitFor looks now and then until ok says yes.
func waitFor(limit, every time.Duration, what string, ok func() (bool, error)) error {
	end := time.Now().Add(limit)
	for {
		done, err := ok()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if done {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v", what, limit)
		}
		time.Sleep(every)
	}
}

// freeAddress gives a loopback address that nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// broker is a Mosquitto.
type broker struct {
	*process
	address string
	window  int
}

func (b *broker) url() string { return "tcp://" + b.address }

const mosquittoConf = `listener %s %s
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages %d
set_tcp_nodelay %v
log_dest stderr
log_type warning
log_type error
`

// startBroker runs a Mosquitto with the given window of unacknowledged messages
// for each client; dir takes its configuration.
func startBroker(dir string, window int, noDelay bool) (*broker, error) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		return nil, fmt.Errorf("mosquitto is needed in PATH: %w", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(mosquittoConf, port, host, window, noDelay)
	if os.Geteuid() == 0 {
		conf += "user root\n"
	}
	file := filepath.Join(dir, "mosquitto-"+port+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p, err := startProcess("mosquitto", path, "-c", file)
	if err != nil {
		return nil, err
	}
	if err := p.upOn(address); err != nil {
		p.stop()
		return nil, err
	}
	return &broker{process: p, address: address, window: window}, nil
}
