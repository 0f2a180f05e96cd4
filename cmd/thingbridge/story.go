package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"thingbridge/edge"
	"thingbridge/edge/alwayson"
	"thingbridge/edge/simulator"
	"thingbridge/mapping"
	"thingbridge/mapping/cases"
)

// story tells what happens in the demo: which devices appear, what values
// arrive, which calls are answered, and what to try.
type story struct {
	out      io.Writer
	platform *simulator.Platform
	ours     []string // the simulated devices
	places   demoPlaces

	mu    sync.Mutex // one line at a time
	bound map[string]bool
}

type demoPlaces struct {
	mqtt          *net.TCPAddr
	rest, console string
}

func newStory(out io.Writer, p *simulator.Platform, ours []string) *story {
	return &story{out: out, platform: p, ours: ours, bound: map[string]bool{}}
}

func (s *story) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lineLocked(format, args...)
}

func (s *story) lineLocked(format string, args ...any) {
	fmt.Fprintf(s.out, time.Now().Format("15:04:05")+"  "+format+"\n", args...)
}

// run tells until ctx ends.
func (s *story) run(ctx context.Context) {
	s.mu.Lock()
	fmt.Fprint(s.out, s.welcome())
	s.mu.Unlock()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	shown := map[string]alwayson.PropertyValue{}
	called := false
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.bindings()
			if s.values(shown, now, last) {
				last = now
			}
			if !called && !last.IsZero() {
				called = true
				s.call(ctx)
			}
		}
	}
}

// bindings tells which Things are bound now and which are no longer.
func (s *story) bindings() {
	for _, t := range s.platform.Things() {
		s.isBound(t.Name, t.Connected)
	}
}

// isBound tells a change. It hears of each bind as it happens and of what the
// platform has now and then, so that a Thing which comes and goes in between shows.
func (s *story) isBound(name string, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case now && !s.bound[name]:
		s.lineLocked("bound    %s is a Thing of the platform now", name)
	case !now && s.bound[name]:
		s.lineLocked("unbound  %s has gone", name)
	}
	s.bound[name] = now
}

// values tells each new value of the user's own devices, and now and then one of
// the simulated ones; it reports whether it told one of those.
func (s *story) values(shown map[string]alwayson.PropertyValue, now, last time.Time) bool {
	const pause = 10 * time.Second
	told := false
	for _, t := range s.platform.Things() {
		own := slices.Contains(s.ours, t.Name)
		if own && (t.Name != s.ours[0] || !last.IsZero() && now.Sub(last) < pause) {
			continue
		}
		for _, property := range t.Properties {
			key := t.Name + "." + property
			v, ok := s.platform.Value(t.Name, property)
			if before, known := shown[key]; !ok || known && before.Time == v.Time && before.Value.Equal(v.Value) {
				continue
			}
			shown[key] = v
			if own {
				if property != "temp" {
					continue
				}
				told = true
			}
			s.line("value    %s = %s", key, mapping.AppendJSON(nil, v.Value))
		}
	}
	return told
}

// call does once what the user is shown to do.
func (s *story) call(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	inputs := alwayson.OneRow(
		alwayson.Named{Name: "a", Value: alwayson.NewNumber(2)}, alwayson.Named{Name: "b", Value: alwayson.NewNumber(3)})
	_, _ = s.platform.Call(limit, alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, s.ours[0], "Add", inputs))
}

// watcher stands between the platform side and the bridge and tells what passes.
type watcher struct {
	edge.Handler
	story *story
}

func (w *watcher) BindChanged(name string, state alwayson.BindState, reason string) {
	w.Handler.BindChanged(name, state, reason)
	switch {
	case state == alwayson.Refused:
		w.story.line("refused  %s: %s", name, reason)
	case state == alwayson.Bound && !strings.HasPrefix(name, "*"): // an identifier is not what the Thing is called
		w.story.isBound(name, true)
	}
}

// housekeeping are the services that a platform calls by itself.
var housekeeping = []string{"GetMetadata", "NotifyPropertyUpdate", "SynchronizeModelState"}

func (w *watcher) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	if slices.Contains(housekeeping, req.Name) {
		w.Handler.Request(name, method, req, respond)
		return
	}
	began, column := time.Now(), "result"
	what := fmt.Sprintf("%s.%s(%s)", name, req.Name, cases.Row(req.Params))
	kind := "call    "
	if req.Characteristic == alwayson.Properties {
		kind, what, column = "read    ", name+"."+req.Name, req.Name
		if method == alwayson.Put {
			kind, what = "write   ", fmt.Sprintf("%s %s", name, cases.Row(req.Params))
		}
	}
	w.Handler.Request(name, method, req, func(r *alwayson.Response) {
		respond(r)
		answer := "done"
		if result := alwayson.Result(r.Content, column); r.Code != alwayson.Success {
			answer = fmt.Sprintf("%s: %s", r.Code, r.Reason)
		} else if !result.IsNothing() {
			answer = string(mapping.AppendJSON(nil, result))
		}
		w.story.line("%s %s → %s (%s)", kind, what, answer, time.Since(began).Round(10*time.Microsecond))
	})
}
