package mqttbus

import (
	"errors"
	"fmt"

	paho "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/bridge"
)

var (
	_ bridge.Refresher   = (*Bus)(nil)
	_ bridge.Reconnector = (*Bus)(nil)
)

// refreshMax bounds the topics that wait to be refreshed; what is over it is
// dropped and counted.
const refreshMax = 100_000

var errAskedToReconnect = errors.New("the bridge asks for a new connection")

// Refresh implements bridge.Refresher: each topic or filter is subscribed by itself,
// although another filter may cover it, because the broker sends what it retains with
// each SUBSCRIBE; then it is unsubscribed, unless it is a filter of its own. It
// returns at once. While there is no connection it does nothing, since a new
// one brings all that is retained. Live messages that come just then may come
// twice, as MQTT allows for filters that overlap.
func (b *Bus) Refresh(topics ...string) {
	good := make([]string, 0, len(topics))
	for _, t := range topics {
		if checkFilter(t) == nil {
			good = append(good, t)
		}
	}
	dropped := len(topics) - len(good) + b.subs.refresh(good)
	b.metrics.refreshesDropped.Add(float64(dropped))
}

// Refreshed implements bridge.Refresher.
func (b *Bus) Refreshed(done func()) {
	b.subs.mu.Lock()
	defer b.subs.mu.Unlock()
	b.subs.refreshed = append(b.subs.refreshed, done)
	signal(b.subs.changed)
}

// Reconnect implements bridge.Reconnector: it ends the present session, if there
// is one, so that the broker delivers again what is not acknowledged. It returns
// at once; the next session is made after the usual back-off.
func (b *Bus) Reconnect(reason string) {
	b.mu.Lock()
	s := b.session
	b.mu.Unlock()
	if s != nil {
		s.fail(fmt.Errorf("%w: %s", errAskedToReconnect, reason))
	}
}

// setSession makes s the one that Reconnect ends; nil: there is none.
func (b *Bus) setSession(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
}

// refresh notes topics to be subscribed once more. It returns how many there is no room for.
func (s *subscriptions) refresh(topics []string) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range topics {
		if _, ok := s.again[t]; ok {
			continue
		}
		if len(s.again) >= refreshMax {
			dropped = len(topics) - i
			break
		}
		s.again[t] = struct{}{}
	}
	signal(s.changed)
	return dropped
}

// takeRefresh takes out up to n topics to be subscribed once more.
func (s *subscriptions) takeRefresh(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var topics []string
	for t := range s.again {
		if len(topics) == n {
			break
		}
		topics = append(topics, t)
		delete(s.again, t)
	}
	return topics
}

// takeRefreshed takes out whom to tell that no topic waits to be subscribed
// once more; nobody as long as one does.
func (s *subscriptions) takeRefreshed() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) > 0 {
		return nil
	}
	done := s.refreshed
	s.refreshed = nil
	return done
}

// forgetRefresh drops all topics to be subscribed once more.
func (s *subscriptions) forgetRefresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.again)
	s.refreshed = nil
}

// refresh subscribes topics once more. Those that are no filters of their own
// become surplus by that, and are unsubscribed as such, after a crash too.
func (s *subscriber) refresh(topics []string, stop <-chan struct{}) error {
	own := make(map[string]bool)
	for _, t := range topics {
		_, own[t] = s.acked[t]
		s.kept[t] = struct{}{}
	}
	if err := s.bus.keepFilters(s.kept); err != nil {
		return err
	}
	ask := make(map[string]byte, len(topics))
	for _, t := range topics {
		ask[t] = 1
	}
	token := s.link.send(func() paho.Token { return s.link.client.SubscribeMultiple(ask, nil) })
	if err := s.await(token, stop); err != nil {
		return err
	}
	s.bus.metrics.refreshed.Add(float64(len(topics)))
	for t, code := range token.(*paho.SubscribeToken).Result() {
		switch {
		case code == codeIDInUse && s.clashes < idInUseRetries:
			s.clashes++
			s.bus.subs.refresh([]string{t})
		case code > 2 && !own[t]:
			delete(s.kept, t)
		}
	}
	return nil
}
