package mqttbus

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/bridge"
)

// State is what the bridge says of itself, retained at QoS 1, to devices that
// wait for it. It has a connection of its own, clean, because the will and what
// is said when all is subscribed must be of the same moment. When somebody else
// puts something on the topic that takes it back, it is said again.
type State struct {
	Topic string
	// Payload is what is said at a moment: that the bridge is there, or not.
	Payload func(online bool, at time.Time) ([]byte, error)
	// Again reports whether a message on the topic has to be answered by saying
	// once more that the bridge is there. Nil: never.
	Again func(payload []byte) bool
}

// StateSuffix makes a state connection's client id of Options.ClientID; the
// second has -2 behind it, and so on.
const StateSuffix = "-state"

// statePause is the least time between two times that the same is said: two
// programs that take the topic for theirs must not drive each other.
const statePause = time.Second

const stateInbox = 100 // messages on a state's topic that wait

// stateLink is one State on one session.
type stateLink struct {
	State
	link  *link
	since time.Time     // of the will, and of what is said
	inbox *inbox        // of its topic
	heard chan struct{} // capacity 1: somebody took it back
}

// openStates makes a connection for each state. On error nothing is left of them.
func (s *session) openStates(ctx context.Context, user, password string) error {
	for i, st := range s.opt.States {
		l := &stateLink{State: st, since: time.Now(), inbox: newInbox(stateInbox, 1<<20, nil), heard: make(chan struct{}, 1)}
		will, err := st.Payload(false, l.since)
		if err != nil {
			return err
		}
		id := s.opt.ClientID + StateSuffix
		if i > 0 {
			id = fmt.Sprintf("%s-%d", id, i+1)
		}
		l.link, err = s.bus.openLink(ctx, s.opt, linkOptions{
			broker: s.broker, clientID: id, clean: true, username: user, password: password, inbox: l.inbox,
			will: &bridge.Publication{Topic: st.Topic, Payload: will, QoS: 1, Retain: true},
		})
		if err != nil {
			return err
		}
		s.states = append(s.states, l)
	}
	return nil
}

// hear takes what comes on the topic, until stop.
func (l *stateLink) hear(stop <-chan struct{}) {
	for {
		for m, ok := l.inbox.take(); ok; m, ok = l.inbox.take() {
			m.Ack()
			// What is retained was said before, and is replaced by what is said now.
			if !m.Retained && l.Again != nil && l.Again(m.Payload) {
				signal(l.heard)
			}
		}
		signal(l.inbox.freed)
		select {
		case <-l.inbox.filled:
		case <-stop:
			return
		}
	}
}

// work does all that the state needs on its session, until stop.
func (l *stateLink) work(s *session) {
	s.workers.Go(func() { l.hear(s.stop) })
	s.workers.Go(func() {
		if err := l.tell(s); err != nil {
			s.fail(err)
		}
	})
	s.workers.Go(func() {
		select {
		case <-l.link.ended():
			s.fail(fmt.Errorf("state connection: %w", l.link.reason()))
		case <-s.stop:
		}
	})
}

// tell says that the bridge is there, once everything is subscribed, and again
// when that is taken back, until stop.
func (l *stateLink) tell(s *session) error {
	token := l.link.send(func() paho.Token { return l.link.client.Subscribe(l.Topic, 1, nil) })
	if err := l.confirmed(s, token); err != nil {
		return fmt.Errorf("subscribe %s: %w", l.Topic, err)
	}
	select {
	case <-s.subscribed:
	case <-l.link.ended():
		return nil
	case <-s.stop:
		return nil
	}
	for first := true; ; first = false {
		payload, err := l.Payload(true, l.since)
		if err != nil {
			return err
		}
		if !first {
			s.bus.log.Warn("somebody took back what the bridge says of itself; it is said again: look for another program with the same host id", "topic", l.Topic)
			s.bus.metrics.statesAgain.Inc()
		}
		if err := l.confirmed(s, l.link.publish(&bridge.Publication{Topic: l.Topic, Payload: payload, QoS: 1, Retain: true})); err != nil {
			return fmt.Errorf("publish %s: %w", l.Topic, err)
		}
		if !l.untilHeard(s) {
			return nil
		}
	}
}

// untilHeard waits until it must be said again; false at the end.
func (l *stateLink) untilHeard(s *session) bool {
	pause := time.NewTimer(statePause)
	defer pause.Stop()
	for _, ready := range []<-chan struct{}{nil, l.heard} {
		var due <-chan time.Time
		if ready == nil {
			due = pause.C
		}
		select {
		case <-due:
		case <-ready:
		case <-l.link.ended():
			return false
		case <-s.stop:
			return false
		}
	}
	return true
}

// confirmed waits for the broker's answer.
func (l *stateLink) confirmed(s *session, token paho.Token) error {
	timer := time.NewTimer(s.opt.AckTimeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-l.link.ended():
		return nil // the session tells why
	case <-s.stop:
		return nil
	case <-timer.C:
		return errAckTimeout
	}
}

// goodbye says that the bridge is no more there, and disconnects.
func (l *stateLink) goodbye(deadline time.Time) {
	if payload, err := l.Payload(false, time.Now()); err == nil {
		l.link.publish(&bridge.Publication{Topic: l.Topic, Payload: payload, QoS: 1, Retain: true}).
			WaitTimeout(max(time.Until(deadline), 100*time.Millisecond))
	}
	l.link.leave(max(time.Until(deadline), 200*time.Millisecond))
}
