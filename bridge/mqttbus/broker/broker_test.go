package broker

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, b *Broker, id, user, password string) (paho.Client, error) {
	t.Helper()
	o := paho.NewClientOptions().AddBroker(b.URL()).SetClientID(id).SetUsername(user).SetPassword(password).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	c := paho.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(5 * time.Second) {
		t.Fatal("no answer")
	}
	if token.Error() == nil {
		t.Cleanup(func() { c.Disconnect(50) })
	}
	return c, token.Error()
}

func start(t *testing.T, o Options) *Broker {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestRetainedMessagesAreKeptAndDelivered(t *testing.T) {
	b := start(t, Options{})
	c, err := client(t, b, "a", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Publish("x", 1, true, "kept").WaitTimeout(5 * time.Second) {
		t.Fatal("no PUBACK")
	}
	got := make(chan string, 1)
	c.Subscribe("x", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })
	select {
	case s := <-got:
		if s != "kept" {
			t.Fatalf("got %q", s)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
	}
}

func TestRulesDecideAboutClientsAndTopics(t *testing.T) {
	b := start(t, Options{
		Authenticate: func(id, user string, password []byte) bool { return user == "u" && string(password) == "p" },
		Allow:        func(id, user, topic string, write bool) bool { return strings.HasPrefix(topic, id+"/") },
	})
	if _, err := client(t, b, "dev", "u", "wrong"); err == nil {
		t.Fatal("a wrong password was accepted")
	}
	c, err := client(t, b, "dev", "u", "p")
	if err != nil {
		t.Fatal(err)
	}
	token := c.SubscribeMultiple(map[string]byte{"dev/#": 1, "other/#": 1}, nil).(*paho.SubscribeToken)
	if !token.WaitTimeout(5 * time.Second) {
		t.Fatal("no SUBACK")
	}
	if r := token.Result(); r["dev/#"] != 1 || r["other/#"] < 0x80 {
		t.Fatalf("SUBACK %v", r)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Addr() != nil || b.URL() != "" {
		t.Fatal("it has an address before it listens")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", b.Addr().String()); err == nil {
		t.Fatal("it still listens")
	}
	if err := b.Start(); err == nil {
		t.Fatal("it started twice")
	}
}

func TestCloseEndsConnectionsThatHaveSaidNothing(t *testing.T) {
	b := start(t, Options{})
	silent, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if c, err := client(t, b, "a", "", ""); err != nil { // it came later and is in: so is the silent one
		t.Fatal(err)
	} else {
		defer c.Disconnect(0)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it has not ended")
		silent.Close()
		<-ended
	}
	_ = silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestAUsedAddressIsAClearError(t *testing.T) {
	b := start(t, Options{})
	other, err := New(Options{Listen: b.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v", err)
	}
	if _, err := New(Options{InFlight: 70_000}); err == nil {
		t.Fatal("accepted 70000 in flight")
	}
}
