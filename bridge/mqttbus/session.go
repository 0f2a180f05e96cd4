package mqttbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// session is a pair of links to one broker. It lives once and dies of its first error.
type session struct {
	bus     *Bus
	opt     *settings
	number  uint64
	broker  *url.URL
	in, out *link
	states  []*stateLink
	started time.Time

	failOnce sync.Once
	failed   chan struct{}
	cause    error // written before failed is closed

	workers    sync.WaitGroup
	stop       chan struct{} // ends the workers
	calm       chan struct{} // ends the sending of publications; what was sent is still settled
	sent       chan struct{} // closed when that is so
	ready      chan struct{} // closed when publications may go out
	readyOK    sync.Once
	subscribed chan struct{} // closed when every filter was answered for the first time
	upSent     bool          // owned by the subscriber's goroutine, read after it has ended
}

var (
	errStopped    = errors.New("the bridge is stopping")
	errAckTimeout = errors.New("the broker did not confirm a publication in time")
)

// open makes both links. The outbound one comes first: were the inbound one
// refused, nothing has been received in vain.
func (b *Bus) openSession(ctx context.Context, opt *settings, broker *url.URL, number uint64) (*session, error) {
	user, password, err := opt.credentials()
	if err != nil {
		return nil, &ConnectError{Broker: broker.Redacted(), ClientID: opt.ClientID, Err: err}
	}
	s := &session{
		bus: b, opt: opt, number: number, broker: broker,
		failed: make(chan struct{}), stop: make(chan struct{}), ready: make(chan struct{}), subscribed: make(chan struct{}),
		calm: make(chan struct{}), sent: make(chan struct{}),
	}
	s.out, err = b.openLink(ctx, opt, linkOptions{
		broker: broker, clientID: opt.ClientID + OutboundSuffix, clean: true,
		will: opt.Will, username: user, password: password,
	})
	if err != nil {
		return nil, err
	}
	if err := s.openStates(ctx, user, password); err != nil {
		s.leaveOut()
		return nil, err
	}
	s.in, err = b.openLink(ctx, opt, linkOptions{
		broker: broker, clientID: opt.ClientID, clean: opt.CleanInbound,
		username: user, password: password, inbox: b.inbox, session: number,
	})
	if err != nil {
		s.leaveOut()
		return nil, err
	}
	s.started = time.Now()
	return s, nil
}

// leaveOut gives up the links beside the inbound one, on which nothing was said yet.
func (s *session) leaveOut() {
	s.out.leave(time.Second)
	for _, l := range s.states {
		l.link.leave(time.Second)
	}
}

func (o *settings) credentials() (user, password string, err error) {
	if o.Username != nil {
		if user, err = o.Username(); err != nil {
			return "", "", fmt.Errorf("user name: %w", err)
		}
	}
	if o.Password != nil {
		if password, err = o.Password(); err != nil {
			return "", "", fmt.Errorf("password: %w", err)
		}
	}
	return user, password, nil
}

func (s *session) fail(err error) {
	s.failOnce.Do(func() {
		s.cause = err
		close(s.failed)
	})
}

// run works until the session breaks, and says why, or until ctx ends: then it
// ends in good order and returns nil.
func (s *session) run(ctx context.Context) error {
	sub := &subscriber{bus: s.bus, opt: s.opt, link: s.in, up: s.isUp}
	if s.in.present {
		s.mayPublish()
	}
	s.workers.Go(func() {
		if err := sub.run(s.stop); err != nil {
			s.fail(err)
		}
	})
	s.workers.Go(s.publish)
	for _, l := range s.states {
		l.work(s)
	}
	select {
	case <-ctx.Done():
		s.goodbye()
		return nil
	case <-s.in.ended():
	case <-s.out.ended():
	case <-s.failed:
		if errors.Is(s.cause, errRenewed) {
			s.part()
			return s.cause
		}
	}
	err := s.reason()
	s.in.breakOff(err)
	s.out.breakOff(err)
	for _, l := range s.states {
		l.link.breakOff(err)
	}
	close(s.stop)
	s.workers.Wait()
	s.bus.down(s, err)
	return err
}

// reason says why the session broke. What a connection ended of explains what a
// worker met, not the other way round.
func (s *session) reason() error {
	if s.in.conn.err() != nil {
		return fmt.Errorf("inbound connection: %w", s.in.reason())
	}
	if s.out.conn.err() != nil {
		return fmt.Errorf("outbound connection: %w", s.out.reason())
	}
	return s.cause
}

// goodbye ends a session that works: what waits is sent, acknowledgements are
// written, and the broker is told. A broker that takes nothing is left soon
// after the time for that.
func (s *session) goodbye() {
	s.bus.queue.close()
	s.mayPublish()
	deadline := time.Now().Add(s.opt.StopTimeout)
	cut := time.AfterFunc(s.opt.StopTimeout+stopGrace, func() {
		s.in.conn.fail(errStopped)
		s.out.conn.fail(errStopped)
		for _, l := range s.states {
			l.link.conn.fail(errStopped)
		}
	})
	defer cut.Stop()
	s.drain(deadline)
	close(s.stop)
	s.workers.Wait()
	if w := s.opt.Will; w != nil {
		s.out.publish(w).WaitTimeout(max(time.Until(deadline), 100*time.Millisecond))
	}
	for _, l := range s.states {
		l.goodbye(deadline)
	}
	left := max(time.Until(deadline), 200*time.Millisecond)
	s.in.leave(left)
	s.out.leave(left)
	s.bus.down(s, errStopped)
}

// stopGrace is the time for the last words after Options.StopTimeout.
const stopGrace = time.Second

// drain waits until the publish queue is empty, the deadline, or the session's failure.
func (s *session) drain(deadline time.Time) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		if n, _, _ := s.bus.queue.depth(); n == 0 {
			return
		}
		select {
		case <-s.bus.queue.empty:
		case <-timer.C:
			return
		case <-s.out.ended():
			return
		case <-s.failed:
			return
		}
	}
}

// isUp runs on the subscriber's goroutine: every filter has been answered.
func (s *session) isUp() {
	s.mayPublish()
	if !s.upSent {
		close(s.subscribed)
	}
	s.upSent = true
	s.bus.up(s)
}

func (s *session) mayPublish() { s.readyOK.Do(func() { close(s.ready) }) }

// sent is a publication in flight.
type sent struct {
	p     *publication
	token paho.Token
}

// publish sends what is in the queue, and settles it in the order it was sent.
func (s *session) publish() {
	defer close(s.sent)
	inFlight := make(chan sent, s.opt.PublishInFlight)
	var settling sync.WaitGroup
	settling.Go(func() { s.settle(inFlight) })
	defer settling.Wait()
	defer close(inFlight)
	select {
	case <-s.ready:
	case <-s.calm:
		return
	case <-s.stop:
		return
	}
	if b := s.opt.Birth; b != nil {
		s.out.publish(b)
	}
	for {
		select {
		case <-s.calm:
			return
		default:
		}
		p := s.bus.queue.next(time.Now(), s.opt.PublishInFlight)
		if p == nil {
			select {
			case <-s.calm:
				return
			case <-s.stop:
				return
			case <-s.bus.queue.added:
			}
			continue
		}
		if log := s.bus.log; log.Enabled(context.Background(), slog.LevelDebug) {
			log.Debug("message sent", "topic", sanitize(p.Topic), "bytes", len(p.Payload), "payload", begin(p.Payload))
		}
		token := s.out.publish(&p.Publication)
		select {
		case inFlight <- sent{p, token}:
		case <-s.stop:
			return
		}
	}
}

func (s *session) settle(inFlight <-chan sent) {
	timer := time.NewTimer(s.opt.AckTimeout)
	defer timer.Stop()
	for f := range inFlight {
		if err := s.await(f.token, timer); err != nil {
			s.fail(err)
			for range inFlight {
			}
			return
		}
		s.bus.queue.confirm(f.p)
	}
}

// await waits for one confirmation. A token that is done without an error means
// PUBACK here, because no client of ours outlives its connection. timer is the
// caller's to reuse.
func (s *session) await(token paho.Token, timer *time.Timer) error {
	select {
	case <-token.Done():
		return token.Error()
	default:
	}
	timer.Reset(s.opt.AckTimeout)
	select {
	case <-token.Done():
		return token.Error()
	case <-s.stop:
		return errStopped
	case <-timer.C:
		return errAckTimeout
	}
}
