package ownthing

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is both far ends: it keeps what is sent and answers as it is told.
type far struct {
	bridge.Platform
	bridge.Bus
	bridge.PlatformEvents

	mu        sync.Mutex // guards the following
	code      alwayson.Code
	err       error
	pushes    []string
	published []bridge.Publication
	others    []string
}

func (f *far) Start(_ alwayson.Code, req *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	rows := req.Params.Cell(0, "values").Unwrap().Table()
	var vals []string
	for i := range rows.Rows {
		vals = append(vals, rows.Cell(i, "name").Text()+"="+rows.Cell(i, "value").Unwrap().String())
	}
	f.mu.Lock()
	f.pushes = append(f.pushes, req.Entity+" "+strings.Join(vals, " "))
	code, err := f.code, f.err
	f.mu.Unlock()
	time.AfterFunc(time.Second, func() {
		if err != nil {
			done(nil, err)
			return
		}
		done(&alwayson.Response{Code: code}, nil)
	})
}

func (f *far) Publish(p bridge.Publication, _ func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published = append(f.published, p)
}

func (f *far) other(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others = append(f.others, what)
}

func (f *far) PlatformDown(uint64, error)                           { f.other("down") }
func (f *far) BindChanged(n string, _ alwayson.BindState, _ string) { f.other(n) }
func (f *far) Subscribed(n string, _ []alwayson.Subscription)       { f.other(n) }

// answer makes code the answer of what is pushed from now on.
func (f *far) answer(code alwayson.Code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.code = code
}

// pushed and sent give what came so far.
func (f *far) pushed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pushes)
}

func (f *far) sent() []bridge.Publication {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.published)
}

// rig runs a Self in a bubble whose one counter grows by one with each look.
func rig(t *testing.T, test func(t *testing.T, s *Self, f *far)) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{code: alwayson.Success}
		looks := 0.0
		s := New(Options{Name: "plant-7", InfoTopic: "thingbridge/x/info", Next: f, Logger: slog.New(slog.DiscardHandler),
			Status: func() []byte { return []byte(`{"up":true}`) },
			Figures: func() []Figure {
				looks++
				return []Figure{{Name: "looks", Unit: "1", Value: alwayson.NewNumber(looks)}, {Name: "version", Value: alwayson.NewString("v1")}}
			}})
		s.Attach(f, f)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		test(t, s, f)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

var both = []alwayson.Subscription{{EdgeName: "looks", Push: alwayson.PushDeadband, Threshold: 1}, {EdgeName: "version", Push: alwayson.PushValue}, {EdgeName: "gone", Push: alwayson.PushAlways}}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFiguresArePushedAsTheirPushTypesSay(t *testing.T) {
	rig(t, func(t *testing.T, s *Self, f *far) {
		wait(time.Minute)
		if len(f.pushed()) > 0 {
			t.Errorf("pushed before the platform subscribed: %v", f.pushed())
		}
		s.Subscribed("Plant-7", both)
		wait(5 * Interval)
		// Looks: 7 until the minute was over, 8 when it subscribed; a deadband of 1 lets every second through.
		if want := []string{"plant-7 looks=NUMBER 8 version=STRING \"v1\"", "plant-7 looks=NUMBER 10", "plant-7 looks=NUMBER 12"}; !slices.Equal(f.pushed(), want) {
			t.Errorf("pushed %q, want %q", f.pushed(), want)
		}
	})
}

func TestWhatIsNotTakenIsPushedAgainNewer(t *testing.T) {
	rig(t, func(t *testing.T, s *Self, f *far) {
		f.answer(alwayson.ServiceUnavailable)
		s.Subscribed("plant-7", both)
		wait(2 * time.Second)
		f.answer(alwayson.Success)
		wait(Interval)
		if len(f.pushed()) != 2 || !strings.Contains(f.pushed()[1], "looks=NUMBER 3") || !strings.Contains(f.pushed()[1], "version") {
			t.Errorf("pushed %q", f.pushed())
		}
		s.PlatformDown(1, alwayson.ErrConnectionLost)
		wait(3 * Interval)
		if len(f.pushed()) != 2 {
			t.Errorf("pushed without a connection: %q", f.pushed())
		}
	})
}

func TestTheObjectOnMQTTComesOnceAMinute(t *testing.T) {
	rig(t, func(t *testing.T, s *Self, f *far) {
		s.Subscribed("plant-7", both)
		wait(Interval / 2)
		if len(f.sent()) > 0 {
			t.Error("published before anything is known")
		}
		wait(Interval + 2*InfoInterval)
		if len(f.sent()) != 3 {
			t.Fatalf("published %d times in two minutes", len(f.sent()))
		}
		p := f.sent()[1]
		if p.Topic != "thingbridge/x/info" || !p.Retain || !strings.Contains(string(p.Payload), `"version":"v1"`) || p.Expires.IsZero() {
			t.Errorf("published %+v %s", p, p.Payload)
		}
	})
}

func TestRequestsOfTheOwnThing(t *testing.T) {
	cases := []struct {
		name   string
		method alwayson.Code
		req    *alwayson.Request
		code   alwayson.Code
		text   string // in the result or the reason
	}{
		{"its metadata", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "plant-7", "GetMetadata", nil), alwayson.Success, `"looks"`},
		{"its status", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "plant-7", GetStatus, nil), alwayson.Success, `{"up":true}`},
		{"another service", alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, "plant-7", "Reset", nil), alwayson.NotFound, "it has GetStatus"},
		{"a property", alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "plant-7", "version", nil), alwayson.Success, "v1"},
		{"all properties", alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "plant-7", "*", nil), alwayson.Success, "v1"},
		{"a property that is none", alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "plant-7", "x", nil), alwayson.NotFound, `no property "x"`},
		{"a write", alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "plant-7", "version", nil), alwayson.MethodNotAllowed, "read only"},
		{"a service by GET", alwayson.Get, alwayson.ServiceRequest(alwayson.EntityThing, "plant-7", GetStatus, nil), alwayson.MethodNotAllowed, "POST"},
	}
	rig(t, func(t *testing.T, s *Self, f *far) {
		for _, c := range cases {
			var got *alwayson.Response
			s.Request("plant-7", c.method, c.req, func(r *alwayson.Response) { got = r })
			if got == nil {
				t.Errorf("%s: no answer", c.name)
				continue
			}
			text := got.Reason
			if table := got.Content.Table(); table != nil {
				for col := range table.Fields {
					text += table.At(0, col).Text()
				}
			}
			if got.Code != c.code || !strings.Contains(text, c.text) {
				t.Errorf("%s: %v %q, want %v with %q", c.name, got.Code, text, c.code, c.text)
			}
		}
	})
}

func TestOtherThingsAreHandedOn(t *testing.T) {
	rig(t, func(t *testing.T, s *Self, f *far) {
		s.BindChanged("pump-1", alwayson.Bound, "")
		s.BindChanged("plant-7", alwayson.Bound, "")
		s.Subscribed("pump-1", nil)
		s.Subscribed("plant-7", nil)
		s.PlatformDown(1, alwayson.ErrConnectionLost)
		if want := []string{"pump-1", "pump-1", "down"}; !slices.Equal(f.others, want) {
			t.Errorf("handed on %v, want %v", f.others, want)
		}
	})
}

func TestARenamedThingIsAnotherOne(t *testing.T) {
	rig(t, func(t *testing.T, s *Self, f *far) {
		s.Subscribed("plant-7", both)
		wait(Interval / 2)
		s.Rename("plant-9")
		wait(2 * Interval)
		s.Subscribed("plant-7", both) // of the old one, on its way still
		s.Subscribed("plant-9", both)
		wait(Interval / 2)
		if len(f.pushed()) != 2 || !strings.HasPrefix(f.pushed()[1], "plant-9 looks=") {
			t.Errorf("pushed %q", f.pushed())
		}
		if want := []string{"plant-7"}; !slices.Equal(f.others, want) {
			t.Errorf("handed on %v, want %v", f.others, want)
		}
	})
}
