package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// bareSubscriber is the limit for values: a process with the same MQTT library
// that counts messages and does nothing else. Settings: clean session, QoS as
// asked, automatic acknowledgement, ordered, reads through a buffer of 16 KiB
// as the bridge's, everything else the library's default.
type bareSubscriber struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

const subscriberCommand = "subscriber"

func startBareSubscriber(address string, qos byte, filters []string) (*bareSubscriber, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{subscriberCommand, address, strconv.Itoa(int(qos))}, filters...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{name: "bare subscriber", cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = p
	if err := p.begin(); err != nil {
		return nil, err
	}
	s := &bareSubscriber{process: p, in: in, out: bufio.NewReader(out)}
	if _, err := s.count(); err != nil {
		s.stop()
		return nil, fmt.Errorf("bare subscriber: %w: %s", err, p.said())
	}
	return s, nil
}

// count asks how many messages came so far.
func (s *bareSubscriber) count() (int64, error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return 0, err
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(line), 10, 64)
}

// serveBareSubscriber is the process: it answers each line with its count.
func serveBareSubscriber(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: %s ADDRESS QOS FILTER…", subscriberCommand)
	}
	qos, err := strconv.ParseUint(args[1], 10, 8)
	if err != nil {
		return err
	}
	var n atomic.Int64
	c, err := connectPaho(args[0], "bench-bare", func(paho.Client, paho.Message) { n.Add(1) })
	if err != nil {
		return err
	}
	defer c.Disconnect(100)
	for _, f := range args[2:] {
		if err := settled(c.Subscribe(f, byte(qos), nil)); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(n.Load())
	}
	return lines.Err()
}

// bufferedConn reads many packets with one system call.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func connectPaho(address, id string, handle paho.MessageHandler) (paho.Client, error) {
	o := paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetProtocolVersion(4).SetCleanSession(true).
		SetAutoReconnect(false).SetDefaultPublishHandler(handle).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			var d net.Dialer
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			conn, err := d.DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			return bufferedConn{conn, bufio.NewReaderSize(conn, 16<<10)}, nil
		})
	c := paho.NewClient(o)
	return c, settled(c.Connect())
}

// settled waits for a token.
func settled(t paho.Token) error {
	if !t.WaitTimeout(10 * time.Second) {
		return fmt.Errorf("the broker did not answer in time")
	}
	return t.Error()
}
