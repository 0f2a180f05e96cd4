package edgethings_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"thingbridge/bridge/edgethings"
	"thingbridge/bridge/store"
	"thingbridge/edge/alwayson"
)

// patient has an agent registered anew with time enough for a test.
func (r *rig) patient(a *slowAgent, name string) {
	r.t.Helper()
	_, port, _ := strings.Cut(a.Listener.Addr().String(), ":")
	mustBe(r.t, r.add(fmt.Sprintf(`{"name":%q,"port":%q,"timeout":20000}`, name, port)), "null")
}

func service(thing string, inputs ...alwayson.Named) *alwayson.Request {
	return alwayson.ServiceRequest(alwayson.EntityThing, thing, "S", alwayson.OneRow(inputs...))
}

func TestTheBytesOfRequestsInFlightAreBoundedTogether(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.Bytes = 20_000 })
	one, two := r.slowAgent("one"), r.slowAgent("two")
	r.patient(one, "one")
	r.patient(two, "two")
	// 15 KB of JSON from a table of some 600 bytes.
	table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: strings.Repeat("n", 500), Type: alwayson.TypeBoolean}}}
	for range 30 {
		table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewBoolean(true)})
	}
	large := alwayson.Named{Name: "t", Value: alwayson.NewTable(table)}
	first := r.start("one", alwayson.Post, service("one", large))
	<-one.asked
	mustFail(t, <-r.start("two", alwayson.Post, service("two", large)), alwayson.ServiceUnavailable, "bytes of JSON are in flight")
	small := r.start("two", alwayson.Post, service("two", text("a", "b")))
	<-two.asked
	two.turn <- ok
	mustBe(t, <-small, "null")
	one.turn <- ok
	mustBe(t, <-first, "null")
	again := r.start("two", alwayson.Post, service("two", large))
	<-two.asked
	two.turn <- ok
	mustBe(t, <-again, "null")
}

func TestTheBytesOfAgentsAnswersAreBoundedTogether(t *testing.T) {
	r := newRig(t, func(o *edgethings.Options) { o.Bytes = 200_000 })
	one, two := r.slowAgent("one"), r.slowAgent("two")
	r.patient(one, "one")
	r.patient(two, "two")
	release := make(chan struct{})
	hold := func() chan *alwayson.Response {
		answer := r.start("one", alwayson.Post, service("one"))
		<-one.asked
		one.turn <- func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(strings.Repeat("x", 100_000)))
			_ = http.NewResponseController(w).Flush()
			<-release
		}
		return answer
	}
	first := hold()
	say := func(bytes int) *alwayson.Response {
		answer := r.start("two", alwayson.Post, service("two"))
		<-two.asked
		two.turn <- func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("y", bytes))) }
		return <-answer
	}
	eventually(t, "the first answer takes its room", func() string {
		resp := say(200_000)
		if len(first) > 0 { // it came when the other had the room
			<-first
			first = hold()
		}
		if resp.Code != alwayson.ServiceUnavailable || !strings.Contains(resp.Reason, "no room for the agent's answer") {
			return resp.Code.String() + " " + resp.Reason
		}
		return ""
	})
	mustBe(t, say(1000), "yyy")
	close(release)
	mustBe(t, <-first, "xxx")
	eventually(t, "there is room again", func() string {
		if resp := say(200_000); resp.Code != alwayson.Success {
			return resp.Reason
		}
		return ""
	})
}

// slowStore has something done while it keeps a registration.
type slowStore struct {
	edgethings.Store
	while func()
	once  sync.Once
}

func (s *slowStore) SaveEdgeThing(name string, data []byte) error {
	s.once.Do(s.while)
	return s.Store.SaveEdgeThing(name, data)
}

func TestARegistrationThatIsTakenBackWhileItIsKeptDoesNotComeBack(t *testing.T) {
	memory := store.NewMemory()
	defer memory.Close()
	removed := make(chan struct{})
	kept := &slowStore{Store: memory}
	r := newRig(t, func(o *edgethings.Options) { o.Store = kept })
	kept.while = func() {
		go func() {
			defer close(removed)
			mustBe(t, r.local("RemoveEdgeThing", text("name", "one")), "null")
		}()
		for range 10_000 { // as long as it takes, unless it has to wait
			select {
			case <-removed:
				return
			default:
				runtime.Gosched()
			}
		}
	}
	mustBe(t, r.add(`{"name":"one"}`), "null")
	<-removed
	var names []string
	if err := memory.LoadEdgeThings(func(name string, _ []byte) error { names = append(names, name); return nil }); err != nil || len(names) > 0 {
		t.Errorf("%q are kept, %v", names, err)
	}
}
