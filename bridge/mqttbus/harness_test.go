package mqttbus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"thingbridge/bridge"
	"thingbridge/bridge/mqttbus/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// recorder is the bridge's end of a bus.
type recorder struct {
	messages chan *bridge.Message
	up       chan uint64
	down     chan error
	large    chan string
	handle   func(*bridge.Message) // instead of the channel
}

func newRecorder() *recorder {
	return &recorder{
		messages: make(chan *bridge.Message, 200_000),
		up:       make(chan uint64, 1000),
		down:     make(chan error, 1000),
		large:    make(chan string, 1000),
	}
}

func (r *recorder) Message(m *bridge.Message) {
	if r.handle != nil {
		r.handle(m)
		return
	}
	r.messages <- m
}

// ackingRecorder acknowledges each message before it records it.
func ackingRecorder() *recorder {
	r := newRecorder()
	r.handle = func(m *bridge.Message) { m.Ack(); r.messages <- m }
	return r
}

func (r *recorder) TooLarge(topic string, bytes int)  { r.large <- fmt.Sprintf("%s %d", topic, bytes) }
func (r *recorder) BusUp(session uint64)              { r.up <- session }
func (r *recorder) BusDown(session uint64, err error) { r.down <- err }

func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

func nothing[T any](t testing.TB, ch <-chan T, d time.Duration, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("unexpected %s: %v", what, v)
	case <-time.After(d):
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func testOptions(t testing.TB, url string) Options {
	return Options{
		Brokers:  []string{url},
		ClientID: strings.ReplaceAll(t.Name(), "/", "-"),
		Backoff:  Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, Healthy: time.Minute},
		Logger:   testLogger(t),
	}
}

// testLogger shows what was logged if the test fails.
func testLogger(t testing.TB) *slog.Logger {
	w := &logSink{t: t}
	t.Cleanup(w.stop)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type logSink struct {
	mu   sync.Mutex
	t    testing.TB
	text strings.Builder
}

func (l *logSink) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if l.t != nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (l *logSink) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}

func (l *logSink) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startBus runs a bus until the test ends, or until the returned stop is called.
func startBus(t testing.TB, o Options, events bridge.BusEvents, filters ...string) (b *Bus, stop func()) {
	t.Helper()
	b, err := New(o, events)
	if err != nil {
		t.Fatal(err)
	}
	b.Subscribe(filters...)
	return b, runBus(t, b)
}

func runBus(t testing.TB, b *Bus) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(patience):
				t.Error("Run did not return")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func startBroker(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// device is a plain MQTT client on the other side of the broker.
func device(t testing.TB, url, id string) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id).SetAutoReconnect(false).SetProtocolVersion(4).
		SetConnectTimeout(patience).SetOrderMatters(true)
	c := paho.NewClient(o)
	wait(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func wait(t testing.TB, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// realBroker is a mosquitto child process that can be stopped and started again
// on the same port.
type realBroker struct {
	t      testing.TB
	dir    string
	port   int
	config string
	cmd    *exec.Cmd
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func startMosquitto(t testing.TB, extra string) *realBroker {
	t.Helper()
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Skip("mosquitto is not in PATH: install Debian's package mosquitto to run this test")
	}
	b := &realBroker{t: t, dir: t.TempDir(), port: freePort(t)}
	b.config = filepath.Join(b.dir, "mosquitto.conf")
	text := fmt.Sprintf("user root\nlistener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n%s\n", b.port, extra)
	text = strings.ReplaceAll(text, "$DIR", b.dir)
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *realBroker) url() string { return fmt.Sprintf("tcp://127.0.0.1:%d", b.port) }

func (b *realBroker) start() {
	b.t.Helper()
	b.cmd = exec.Command("mosquitto", "-c", b.config)
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stop ends it in good order, so that it saves its sessions.
func (b *realBroker) stop() {
	if b.cmd != nil {
		b.cmd.Process.Signal(os.Interrupt)
		b.cmd.Wait()
		b.cmd = nil
	}
}

// acknowledge acks messages and waits until that has been written.
func acknowledge(t testing.TB, b *Bus, messages ...*bridge.Message) {
	t.Helper()
	before := counterValue(b.metrics.bytesOut)
	for _, m := range messages {
		m.Ack()
	}
	eventually(t, "acknowledgements are written", func() bool {
		return counterValue(b.metrics.bytesOut) >= before+float64(4*len(messages))
	})
}

// eachBroker runs a test against the embedded broker and a real one.
func eachBroker(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, startBroker(t, broker.Options{}).URL())
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		test(t, startMosquitto(t, "persistence false").url())
	})
}

// cutter dials for a bus and can cut what it dialled.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	c.conns = nil
}
