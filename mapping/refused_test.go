package mapping_test

import (
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// A topic outside allow_topics was reported, and sent to all the same.
func TestAWayToATopicThatIsNotAllowedIsNotTaken(t *testing.T) {
	e := engine(t, `profiles: [{name: p, thing: '${id}', allow_topics: ["ok/#"], announce: {topic: 'x/{id}', define: payload}}]`)
	put(t, e, "x/a", `{"properties": {"p": {"type": "NUMBER", "write": {"topic": "bad/p"}}, "q": {"type": "NUMBER", "write": {"topic": "ok/q"}}},
		"services": {"S": {"request": {"topic": "bad/s"}}}}`)
	if c, err := e.Write("a", "p", alwayson.NewNumber(1)); err == nil {
		t.Errorf("the write goes to %s", c.Send[0].Topic)
	}
	if c, err := e.Call("a", "S", nil); err == nil {
		t.Errorf("the call goes to %s", c.Send[0].Topic)
	}
	if c, err := e.Write("a", "q", alwayson.NewNumber(1)); err != nil || !strings.HasPrefix(c.Send[0].Topic, "ok/") {
		t.Errorf("the write that is allowed: %v", err)
	}
}

func TestAQuestionToATopicThatIsNotAllowedIsNotAsked(t *testing.T) {
	e := engine(t, `profiles: [{name: p, thing: '${id}', allow_topics: ["ok/#"], announce: {topic: 'x/{id}', let: {at: payload}},
		ask: {on: presence, topic: '${device.at}/get'}}]`)
	put(t, e, "x/a", "ok/a")
	put(t, e, "x/b", "bad/b")
	if got := e.Asks(mapping.AskPresence, "a"); len(got) != 1 || got[0].Topic != "ok/a/get" {
		t.Errorf("%v", got)
	}
	if got := e.Asks(mapping.AskPresence, "b"); len(got) != 0 {
		t.Errorf("it is asked on %s", got[0].Topic)
	}
}
