package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// device is an MQTT client that plays one or more devices.
type device struct {
	t      testing.TB
	client mqtt.Client

	mu       sync.Mutex
	received []received
}

type received struct {
	topic, payload string
	retained       bool
}

func mqttOptions(url, clientID string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(url).SetClientID(clientID).SetCleanSession(true).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(patience)
}

func newDevice(t testing.TB, b *broker, clientID string) *device {
	t.Helper()
	d := &device{t: t, client: mqtt.NewClient(mqttOptions(b.deviceURL(), clientID).SetOrderMatters(false))}
	d.finish(d.client.Connect(), "connect")
	t.Cleanup(func() { d.client.Disconnect(0) })
	return d
}

func (d *device) finish(token mqtt.Token, what string) {
	d.t.Helper()
	if !token.WaitTimeout(patience) {
		d.t.Fatalf("%s: no answer from the broker", what)
	}
	if err := token.Error(); err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
}

func (d *device) publish(topic, payload string) {
	d.t.Helper()
	d.finish(d.client.Publish(topic, 1, false, payload), "publish "+topic)
}

func (d *device) retain(topic, payload string) {
	d.t.Helper()
	d.finish(d.client.Publish(topic, 1, true, payload), "publish "+topic)
}

func (d *device) announce(thing, announcement string) {
	d.t.Helper()
	d.retain("things/"+thing+"/announce", announcement)
}

// listen collects what comes on a filter.
func (d *device) listen(filter string) {
	d.t.Helper()
	d.finish(d.client.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) { d.take(m) }), "subscribe "+filter)
}

func (d *device) take(m mqtt.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received = append(d.received, received{m.Topic(), string(m.Payload()), m.Retained()})
}

// got gives what came on topics that start with prefix.
func (d *device) got(prefix string) (out []received) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.received {
		if strings.HasPrefix(r.topic, prefix) {
			out = append(out, r)
		}
	}
	return out
}

// serve answers each request of a Thing's service with what answer makes of its
// payload; "" answers nothing.
func (d *device) serve(thing, service string, answer func(inputs string) string) {
	d.t.Helper()
	filter := "things/" + thing + "/services/" + service + "/request/+"
	d.finish(d.client.Subscribe(filter, 1, func(c mqtt.Client, m mqtt.Message) {
		d.take(m)
		if reply := answer(string(m.Payload())); reply != "" {
			c.Publish(strings.Replace(m.Topic(), "/request/", "/reply/", 1), 1, false, reply)
		}
	}), "subscribe "+filter)
}

// A device that can be killed runs in a child of this test binary.

const deviceVar = "INTEGRATION_DEVICE"

// deviceChild announces a Thing and stays. Its will says that it is offline.
func deviceChild(spec string) int {
	url, thing, _ := strings.Cut(spec, " ")
	status := "things/" + thing + "/status"
	client := mqtt.NewClient(mqttOptions(url, "child-"+thing).SetWill(status, "offline", 1, true))
	for _, step := range []func() mqtt.Token{
		client.Connect,
		func() mqtt.Token { return client.Publish("things/"+thing+"/announce", 1, true, "{}") },
		func() mqtt.Token { return client.Publish(status, 1, true, "online") },
	} {
		token := step()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			fmt.Fprintln(os.Stderr, "device:", token.Error())
			return 1
		}
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}

// startDevice starts a child that announces thing.
func startDevice(t testing.TB, b *broker, thing string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), deviceVar+"="+b.deviceURL()+" "+thing)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	t.Cleanup(kill)
	return kill
}

// publisher publishes one Thing's numbers, each until its PUBACK came.
type publisher struct {
	thing string
	last  int // acknowledged
	again int // sent more than once
}

func (p *publisher) send(client mqtt.Client, wait time.Duration) error {
	topic := "things/" + p.thing + "/properties/n"
	token := client.Publish(topic, 1, false, fmt.Sprint(p.last+1))
	if !token.WaitTimeout(wait) {
		p.again++
		return fmt.Errorf("no PUBACK for %d of %s", p.last+1, p.thing)
	}
	if err := token.Error(); err != nil {
		p.again++
		return err
	}
	p.last++
	return nil
}
