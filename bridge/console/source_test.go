package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/outbox"
	"thingbridge/mapping"
)

// source is what the tests show. Its Bridge, where there is one, is real.
type source struct {
	links   []Link
	block   chan struct{}
	bridge  *bridge.Bridge
	sample  Sample
	calls   []bridge.CallInFlight
	facts   Facts
	notices []Notice
	watched atomic.Int32
	reloads atomic.Int32
	levels  atomic.Int32
}

func (s *source) Links() []Link { return s.links }
func (s *source) Status() any   { return map[string]int{"things": 2} }
func (s *source) Things(q bridge.Selection) bridge.Selected {
	if q.Prefix == "none" {
		return bridge.Selected{}
	}
	name := fmt.Sprintf("%s/%s/%s/%s/%s/%v/%d/%d", q.Prefix, q.Text, q.State, q.Profile, q.Order, q.Reverse, q.Offset, q.Limit)
	return bridge.Selected{Things: []bridge.ThingSummary{{Name: name}}, Total: 2, States: map[string]int{"ready": 2}}
}
func (s *source) Thing(name string, maxValue int) (any, bool) {
	return map[string]any{"name": name, "max": maxValue}, name == "pump-1"
}
func (s *source) Calls() []bridge.CallInFlight { return s.calls }
func (s *source) Settings() (Settings, error)  { return Settings{File: "f.yaml", Text: "a: b\n"}, nil }
func (s *source) Notices() []Notice            { return s.notices }
func (s *source) Facts() Facts                 { return s.facts }
func (s *source) Sample() Sample               { return s.sample }
func (s *source) Trace(f bridge.TraceFilter) *bridge.Trace {
	s.watched.Add(1)
	return s.bridge.Trace(f)
}

// The Operator's side: what was asked for is counted.
func (s *source) Configuration() any { return map[string]string{"file": "f.yaml"} }
func (s *source) Reload(ctx context.Context) (any, error) {
	s.reloads.Add(1)
	return map[string]bool{"ok": true}, ctx.Err()
}
func (s *source) Log() any { return map[string]string{"level": "info"} }
func (s *source) SetLog(wish json.RawMessage) (any, error) {
	var w struct {
		Level string `json:"level"`
	}
	if err := Wish(wish, &w); err != nil {
		return nil, err
	}
	s.levels.Add(1)
	return map[string]string{"level": w.Level}, nil
}

// newBridge makes a real bridge that is joined to nothing.
func newBridge(t testing.TB) *bridge.Bridge {
	t.Helper()
	profiles, problems := mapping.Load(nil, "test.yaml", nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	box, err := outbox.NewMemory(outbox.Options{HoldMax: 1000})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(bridge.Options{Engine: mapping.NewEngine(profiles, mapping.Options{}), Outbox: box, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	return b
}

func hand(b *bridge.Bridge, topic, payload string) {
	b.Message(&bridge.Message{Topic: topic, Payload: []byte(payload), Received: time.Now()})
}
