package mqttbus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// subscriber closes the gap between the filters that should be subscribed and
// those that are, on one session's inbound link. It runs on one goroutine.
type subscriber struct {
	bus     *Bus
	opt     *settings
	link    *link
	acked   map[string]struct{} // answered with success on this connection
	kept    map[string]struct{} // what the broker's session may hold
	clashes int                 // answers of codeIDInUse
	up      func()              // told each time the gap is closed after a Subscribe
}

// errSubackTimeout says that SUBACK or UNSUBACK did not come although other things did.
var errSubackTimeout = errors.New("the broker did not answer a SUBSCRIBE or UNSUBSCRIBE in time")

func (s *subscriber) run(stop <-chan struct{}) error {
	if err := s.load(); err != nil {
		return err
	}
	var told uint64
	for first := true; ; {
		want, version, due := s.bus.subs.effective(time.Now())
		if missing := without(want, s.acked); len(missing) > 0 {
			if err := s.subscribe(missing, stop); err != nil {
				return err
			}
			continue
		}
		if topics := s.bus.subs.takeRefresh(s.opt.SubscribeBatch); len(topics) > 0 {
			batch := s.batch(topics)
			s.bus.subs.refresh(topics[len(batch):])
			if err := s.refresh(batch, stop); err != nil {
				return err
			}
			continue
		}
		s.bus.metrics.filters.Set(float64(len(s.acked)))
		s.bus.metrics.filtersRefused.Set(float64(len(s.bus.subs.refusals())))
		if first || version != told {
			first, told = false, version
			s.up()
		}
		for _, done := range s.bus.subs.takeRefreshed() {
			done()
		}
		if surplus := s.surplus(want); len(surplus) > 0 {
			if err := s.unsubscribe(s.batch(surplus), stop); err != nil {
				return err
			}
			continue
		}
		if !s.wait(due, stop) {
			return nil
		}
	}
}

// load finds out what the broker's session may hold.
func (s *subscriber) load() error {
	s.acked = make(map[string]struct{})
	s.kept = make(map[string]struct{})
	s.bus.subs.retryRefused(time.Now())
	s.bus.subs.forgetRefresh()
	if !s.link.present {
		return nil
	}
	s.kept = maps.Clone(s.bus.keptFilters())
	return nil
}

func (s *subscriber) wait(due time.Time, stop <-chan struct{}) bool {
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-stop:
		return false
	case <-s.bus.subs.changed:
	case <-timer:
	}
	return true
}

// batch cuts filters to what one packet should hold.
func (s *subscriber) batch(filters []string) []string {
	const maxBytes = 128 << 10
	bytes := 0
	for i, f := range filters {
		if bytes += len(f) + 3; i >= s.opt.SubscribeBatch || i > 0 && bytes > maxBytes {
			return filters[:i]
		}
	}
	return filters
}

// subscribe asks for the first of the filters that are missing, and notes all of
// them before: what may be subscribed must be known after a crash.
func (s *subscriber) subscribe(missing []string, stop <-chan struct{}) error {
	for _, f := range missing {
		s.kept[f] = struct{}{}
	}
	if err := s.bus.keepFilters(s.kept); err != nil {
		return err
	}
	filters := s.batch(missing)
	ask := make(map[string]byte, len(filters))
	for _, f := range filters {
		ask[f] = 1
	}
	token := s.link.send(func() paho.Token { return s.link.client.SubscribeMultiple(ask, nil) })
	if err := s.await(token, stop); err != nil {
		return err
	}
	for f, code := range token.(*paho.SubscribeToken).Result() {
		s.answered(f, code)
	}
	return nil
}

// codeIDInUse is MQTT 5's answer to a packet id that is in use, which the
// embedded broker gives to 3.1.1 clients too: it takes the ids of its own
// messages for ours. The next attempt has another id.
const (
	codeIDInUse    = 0x91
	idInUseRetries = 1000
)

func (s *subscriber) answered(filter string, code byte) {
	if code == codeIDInUse && s.clashes < idInUseRetries {
		s.clashes++
		return
	}
	if code <= 2 {
		s.acked[filter] = struct{}{}
		if s.bus.subs.accept(filter) {
			s.bus.log.Info("topic filter accepted again", "filter", filter)
		}
		return
	}
	delete(s.kept, filter)
	if s.bus.subs.refuse(filter, fmt.Sprintf("the broker refused it (SUBACK 0x%02X)", code), time.Now()) {
		s.bus.log.Warn("topic filter refused: check the broker's rules for this user; it is tried again now and then",
			"filter", filter, "code", code)
	}
}

func (s *subscriber) unsubscribe(filters []string, stop <-chan struct{}) error {
	token := s.link.send(func() paho.Token { return s.link.client.Unsubscribe(filters...) })
	if err := s.await(token, stop); err != nil {
		return err
	}
	for _, f := range filters {
		delete(s.kept, f)
		delete(s.acked, f)
	}
	return s.bus.keepFilters(s.kept)
}

// await waits for the broker's answer. The answer stands in line behind the
// messages, retained ones above all: the time only runs while none comes
// although we read.
func (s *subscriber) await(token paho.Token, stop <-chan struct{}) error {
	limit := s.opt.AckTimeout
	started := time.Now()
	ticker := time.NewTicker(limit / 4)
	defer ticker.Stop()
	for {
		select {
		case <-token.Done():
			if err := token.Error(); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
			return nil
		case <-stop:
			return errStopped
		case <-ticker.C:
			if time.Since(started) > limit && s.link.conn.quietFor() > limit {
				return errSubackTimeout
			}
		}
	}
}

// surplus gives what the broker's session may hold beyond want, which is sorted.
func (s *subscriber) surplus(want []string) []string {
	var out []string
	for f := range s.kept {
		if _, ok := slices.BinarySearch(want, f); !ok {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

func without(filters []string, m map[string]struct{}) []string {
	var out []string
	for _, f := range filters {
		if _, ok := m[f]; !ok {
			out = append(out, f)
		}
	}
	return out
}
