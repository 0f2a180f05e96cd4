package mqttbus

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// takenOverAfter is how many sessions in a row must be closed by the broker soon
// after it accepted them before we say what that looks like.
const takenOverAfter = 3

// connectLoop makes session after session until ctx ends. It owns the counters
// of failures, so that back-off is decided in one place.
func (b *Bus) connectLoop(ctx context.Context) {
	var (
		number   uint64
		failures int // attempts and short sessions in a row
		short    int // sessions in a row that the broker closed early
		episode  trouble
	)
	for next := 0; ctx.Err() == nil; {
		opt := b.current.Load()
		broker := opt.brokers[next%len(opt.brokers)]
		s, err := b.attempt(ctx, opt, broker, number+1)
		if err == nil {
			number++
			b.accepted(s, &episode, b.log)
			b.setSession(s)
			if b.renewed() { // between the attempt and now
				s.fail(errRenewed)
			}
			err = s.run(ctx)
			b.setSession(nil)
			if ctx.Err() != nil {
				return
			}
			healthy := time.Since(s.started) >= opt.Backoff.Healthy
			b.ended(number, broker, err)
			if healthy {
				failures, next = 0, 0
			} else {
				next++
			}
			short = b.noteShort(short, !healthy && closedByBroker(err))
		} else {
			if ctx.Err() != nil {
				return
			}
			if !errors.Is(err, errRenewed) {
				episode.note(b.log, err)
			}
			next++
		}
		if b.renewed() || errors.Is(err, errRenewed) {
			failures, next, short = 0, 0, 0
			continue
		}
		failures++
		b.metrics.failures.Inc()
		b.setTrouble(err, failures)
		// The brokers of a list are tried one after another; only a whole round in vain waits long.
		again, err := b.pause(ctx, opt.Backoff.wait(1+(failures-1)/len(opt.brokers)))
		if err != nil {
			return
		}
		if again {
			failures, next = 0, 0
		}
	}
}

// ended logs that a session is over.
func (b *Bus) ended(number uint64, broker *url.URL, err error) {
	if errors.Is(err, errRenewed) {
		b.log.Info("MQTT session left for a new one", "session", number, "broker", broker.Redacted(), "why", err)
		return
	}
	b.log.Warn("MQTT session broke", "session", number, "broker", broker.Redacted(), "error", err)
}

func closedByBroker(err error) bool {
	return errors.Is(err, errClosedByBroker) || errors.Is(err, syscall.ECONNRESET)
}

// noteShort counts the sessions in a row that the broker ended early, and names
// the usual reason.
func (b *Bus) noteShort(before int, again bool) int {
	if !again {
		return 0
	}
	short := before + 1
	if short%takenOverAfter == 0 {
		b.log.Error("the broker keeps ending the connection soon after it accepted it: most likely another "+
			"bridge or program uses the same client id, and each takes the connection from the other",
			"client_id", b.current.Load().ClientID, "times", short)
	}
	return short
}

func (b *Bus) accepted(s *session, episode *trouble, log *slog.Logger) {
	b.metrics.sessions.Inc()
	b.mu.Lock()
	b.status.Broker, b.status.Session, b.status.Attempts = s.broker.Redacted(), s.number, 0
	b.status.SessionKept = s.in.present
	b.mu.Unlock()
	log.Info("MQTT connected", "session", s.number, "broker", s.broker.Redacted(),
		"session_present", s.in.present, "failed_attempts", episode.count)
	*episode = trouble{}
}

func (b *Bus) setTrouble(err error, attempts int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Attempts = attempts
	b.status.LastError = err.Error()
}

// trouble is an episode of failed attempts: one log line for each reason that is
// new in it, so that neither brokers tried in turn nor the ports of attempts
// make more.
type trouble struct {
	count int
	told  map[string]bool // at most mostReasons
}

const mostReasons = 50

// ownPort is what differs from one attempt to the next.
var ownPort = regexp.MustCompile(`\S+:[0-9]+->`)

func (t *trouble) note(log *slog.Logger, err error) {
	t.count++
	level := slog.LevelDebug
	if reason := ownPort.ReplaceAllString(err.Error(), ""); !t.told[reason] && len(t.told) < mostReasons {
		if t.told == nil {
			t.told = map[string]bool{}
		}
		t.told[reason] = true
		level = slog.LevelWarn
		var refused *ConnectError
		if errors.As(err, &refused) && refused.Code != 0 {
			level = slog.LevelError
		}
	}
	log.Log(context.Background(), level, "MQTT connection failed, it is tried again", "attempt", t.count, "error", err)
}

// skipLog says at most once a minute that messages are dropped, and how many.
type skipLog struct {
	log *slog.Logger

	mu    sync.Mutex // guards the following
	since map[dropReason]time.Time
	count map[dropReason]int
}

const skipLogEvery = time.Minute

// skipped tells of a message that was not handed over.
func (b *Bus) skipped(topic string, size int, reason dropReason) {
	topic = sanitize(topic)
	log := b.log
	if reason == dropTooLarge {
		b.events.TooLarge(topic, size)
		log = log.With("do", "raise limits.payload_bytes, or have the device send less")
	}
	if n, tell := b.skips.note(reason, time.Now()); tell {
		log.Warn("messages dropped", "reason", string(reason), "count", n, "topic", topic, "bytes", size)
	}
}

func (l *skipLog) note(reason dropReason, now time.Time) (count int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since == nil {
		l.since, l.count = make(map[dropReason]time.Time), make(map[dropReason]int)
	}
	l.count[reason]++
	if last, ok := l.since[reason]; ok && now.Sub(last) < skipLogEvery {
		return 0, false
	}
	count = l.count[reason]
	l.since[reason], l.count[reason] = now, 0
	return count, true
}
