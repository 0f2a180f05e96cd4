package mapping

import (
	"fmt"
	"testing"

	"go.yaml.in/yaml/v3"
)

// otherTopics is a decoder whose device says at each announcement that its presence
// is told on another topic.
type otherTopics struct{}

func (otherTopics) Decode(in *DecoderInput) ([]Fragment, error) {
	return []Fragment{{Thing: "one", Rules: map[string]any{
		"presence": map[string]any{"topic": "p/" + string(in.Payload), "group": "g"},
	}}}, nil
}

func init() { RegisterDecoder("other topics", otherTopics{}) }

func TestWhatOtherTopicsOfAGroupSaidIsForgotten(t *testing.T) {
	var list yaml.Node
	if err := yaml.Unmarshal([]byte("[{name: x, thing: one, decoder: other topics, format: text, allow_topics: [p/#], announce: {topic: a}}]"), &list); err != nil {
		t.Fatal(err)
	}
	p, problems := Load(list.Content[0], "test.yaml", nil)
	if p == nil {
		t.Fatal(problems)
	}
	e := NewEngine(p, Options{})
	for i := range 50 {
		for _, eff := range e.Handle(&Input{Topic: "a", Payload: []byte(fmt.Sprint(i))}, nil) {
			a, ok := eff.(*Announced)
			if !ok {
				t.Fatalf("%+v", eff)
			}
			if _, err := e.Put(a.Device); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			effects := e.Handle(&Input{Topic: fmt.Sprintf("p/%d", i), Payload: []byte("offline")}, nil)
			if len(effects) != 1 || effects[0].(*Presence).Online {
				t.Fatalf("%d: %+v", i, effects)
			}
		}
	}
	if n := len(e.things["one"].offline); n != 1 {
		t.Errorf("words of %d topics are remembered, want 1", n)
	}
}
