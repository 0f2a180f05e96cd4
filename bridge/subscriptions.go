package bridge

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"weak"

	"thingbridge/edge/alwayson"
)

// subscriptions is one set of property subscriptions, immutable and shared by
// all Things that have the same.
type subscriptions struct {
	list  []alwayson.Subscription
	index map[string]int // by edge name
}

// subscriptionSets finds the shared set. Sets that no Thing uses any longer are
// collected; their places in the table are swept when it has doubled.
type subscriptionSets struct {
	mu    sync.Mutex
	sets  map[[sha256.Size]byte]weak.Pointer[subscriptions] // by the hash of what they say
	sweep int
}

func (s *subscriptionSets) get(list []alwayson.Subscription) *subscriptions {
	key := make([]byte, 0, len(list)*24)
	for _, sub := range list {
		key = appendText(key, sub.EdgeName)
		key = append(key, byte(sub.Push))
		key = binary.BigEndian.AppendUint64(key, math.Float64bits(sub.Threshold))
	}
	hash := sha256.Sum256(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[hash].Value(); set != nil {
		return set
	}
	set := &subscriptions{list: list, index: make(map[string]int, len(list))}
	for i, sub := range list {
		set.index[sub.EdgeName] = i
	}
	if s.sets == nil {
		s.sets = map[[sha256.Size]byte]weak.Pointer[subscriptions]{}
	}
	if len(s.sets) >= max(64, s.sweep) {
		for k, p := range s.sets {
			if p.Value() == nil {
				delete(s.sets, k)
			}
		}
		s.sweep = 2 * len(s.sets)
	}
	s.sets[hash] = weak.Make(set)
	return set
}

// adopt makes next the flow's subscriptions. Filters of properties that stay
// are kept; the last known value of a property that had no binding until now is
// queued, since the platform has never seen it.
func (s *scheduler) adopt(f *flow, next *subscriptions) {
	if f.subs == next {
		return
	}
	filters := make([]alwayson.PushFilter, len(next.list))
	if f.subs != nil {
		for i, sub := range f.subs.list {
			if j, ok := next.index[sub.EdgeName]; ok {
				filters[j] = f.filters[i]
			}
		}
	}
	f.subs, f.filters = next, filters
	t := f.thing
	var late []alwayson.PropertyValue
	s.b.mu.Lock()
	for name := range t.missing {
		if _, ok := next.index[name]; !ok {
			continue
		}
		delete(t.missing, name)
		if k := t.knownLocked(name); k != nil {
			late = append(late, k.PropertyValue)
		}
	}
	s.b.mu.Unlock()
	if len(late) > 0 {
		s.b.queue(t.name, late)
	}
}
