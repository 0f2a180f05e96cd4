package devicesim

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// told hands the records of a log to a channel.
type told chan slog.Record

func (c told) Enabled(context.Context, slog.Level) bool { return true }
func (c told) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c told) WithGroup(string) slog.Handler            { return c }
func (c told) Handle(ctx context.Context, r slog.Record) error {
	select {
	case c <- r:
	case <-ctx.Done():
	}
	return nil
}

func TestDevicesWithoutABrokerSaySoOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "tcp://" + l.Addr().String()
	l.Close()
	log := make(told)
	c := &crew{id: "lonely"}
	s, err := New(Options{Access: Access{Broker: nobody}, Count: 1, Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for i, want := range []slog.Level{slog.LevelWarn, slog.LevelDebug, slog.LevelDebug} {
		if r := <-log; r.Level != want || !strings.Contains(r.Message, "have no broker") {
			t.Errorf("attempt %d: %v %s", i, r.Level, r.Message)
		}
	}
	cancel()
	<-ended

	c.sim, c.away = s, true
	go func() { c.back(); c.back(); close(log) }()
	n := 0
	for range log {
		n++
	}
	if n != 1 {
		t.Errorf("%d lines tell that the broker is back", n)
	}
}

func TestAnAgentThatWasNotLetInTakesNothingBack(t *testing.T) {
	asked := make(chan string, 10)
	bridge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer bridge.Close()
	a, err := NewAgent(AgentOptions{REST: bridge.URL, Name: "agent-1", Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if path := <-asked; !strings.HasSuffix(path, "/AddEdgeThing") {
		t.Errorf("asked for %s first", path)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(asked)
	for path := range asked {
		if strings.HasSuffix(path, "/RemoveEdgeThing") {
			t.Error("it takes back what it has not")
		}
	}
}
