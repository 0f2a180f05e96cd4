package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"thingbridge/edge"
	"thingbridge/edge/alwayson"
)

// startDemo runs a demo on free ports until the test ends.
func startDemo(t *testing.T) (*output, context.Context) {
	t.Helper()
	out := newOutput()
	limit, cancelLimit := context.WithTimeout(t.Context(), 30*time.Second)
	ctx, stop := context.WithCancel(limit)
	done := make(chan error, 1)
	go func() {
		done <- runDemo(ctx, out, out, demoOptions{mqtt: "127.0.0.1:0", platform: "127.0.0.1:0", console: "127.0.0.1:0", interval: 200 * time.Millisecond})
	}()
	t.Cleanup(func() {
		stop()
		cancelLimit()
		if err := <-done; err != nil {
			t.Errorf("demo: %v", err)
		}
	})
	return out, limit
}

func TestTheDemoShowsADeviceAValueAndACall(t *testing.T) {
	out, ctx := startDemo(t)
	out.wait(ctx, t, "bound    pump-5 is a Thing of the platform now")
	out.wait(ctx, t, "value    pump-1.temp = ")
	out.wait(ctx, t, "call     pump-1.Add(a=2, b=3) → 5 (")
	if strings.Contains(out.String(), "level=") {
		t.Errorf("parts complain:\n%s", out)
	}
}

func TestTheDemosOwnLinesWork(t *testing.T) {
	for _, program := range []string{"curl", "mosquitto_pub", "sh"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	out, ctx := startDemo(t)
	out.wait(ctx, t, "call     pump-1.Add(a=2, b=3) → 5 (")
	want := []string{`"rows":[{"temp":`, `"rows":[{"result":5}]`, "", "", "", `"rows":[{"level":12.5}]`, ""}
	after := map[int]string{3: "bound    my-device", 4: "value    my-device.level = 12.5", 6: "unbound  my-device"}
	n := 0
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "mosquitto_pub ") {
			continue
		}
		got, err := exec.CommandContext(ctx, "sh", "-c", line).CombinedOutput()
		if err != nil || !strings.Contains(string(got), want[n]) || want[n] == "" && len(got) > 0 {
			t.Errorf("%s\ngives %q, %v; want %q", line, got, err, want[n])
		}
		if text := after[n]; text != "" {
			out.wait(ctx, t, text)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d lines to try, want %d", n, len(want))
	}
}

func TestAPortInUseIsReplaced(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out := newOutput()
	l, err := listenOrElse(out, "MQTT", taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !strings.Contains(out.String(), "MQTT: "+taken.Addr().String()+" is in use; taking "+l.Addr().String()) {
		t.Errorf("it says %q", out)
	}
	if _, err := listenOrElse(out, "MQTT", "no-port"); err == nil {
		t.Error("an address that is none is accepted")
	}
}

// TestTheReadmeShowsTheDemosLines keeps the two alike.
func TestTheReadmeShowsTheDemosLines(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	mqtt, err := net.ResolveTCPAddr("tcp", demoMQTT)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{ours: []string{"pump-1", "pump-5"}, places: demoPlaces{mqtt: mqtt, rest: "http://" + demoPlatform + "/Thingworx", console: "http://" + demoConsole}}
	n := 0
	for line := range strings.Lines(s.welcome()) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "      #")
		if strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "mosquitto_pub ") {
			n++
			if !strings.Contains(string(readme), "    "+line+"\n") {
				t.Errorf("README.md does not show\n%s", line)
			}
		}
	}
	if n != 7 {
		t.Errorf("%d lines, want 7", n)
	}
}

// binder is as much of a bridge as hears of binds.
type binder struct{ edge.Handler }

func (binder) BindChanged(string, alwayson.BindState, string) {}

func TestTheDemoTellsOfAThingThatComesAndGoesBetweenTwoLooks(t *testing.T) {
	var out strings.Builder
	s := newStory(&out, nil, nil)
	w := &watcher{Handler: binder{}, story: s}
	w.BindChanged("quick", alwayson.Binding, "")
	w.BindChanged("quick", alwayson.Bound, "")
	w.BindChanged("*serial-7", alwayson.Bound, "") // bound by its identifier: the platform says what it is called
	s.isBound("quick", false)                      // what the next look finds
	want := []string{"bound    quick is a Thing of the platform now", "unbound  quick has gone"}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if i >= len(want) || !strings.HasSuffix(line, want[i]) {
			t.Errorf("line %d is %q", i, line)
		}
	}
}
