package main

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load publishes property messages of many Things in turn, as fast as the
// consumer follows.
type load struct {
	topics [][]byte
	names  [][]byte // of the values in each message
	qos    byte
	count  int           // messages at most
	limit  time.Duration // of publishing
	window int           // messages published and not consumed yet
}

// loadResult is what a load came to.
type loadResult struct {
	messages int
	lost     int
	elapsed  time.Duration // until the last message was consumed
}

func (r loadResult) perSecond() float64 { return float64(r.messages) / r.elapsed.Seconds() }

const (
	loadBatch   = 32                     // messages in one write
	ackWindow   = 4000                   // QoS 1: messages without the broker's acknowledgement
	consumeLook = 4 * time.Millisecond   // between two looks at the consumer
	consumeWait = 6 * time.Second        // without progress after the last message
	shortPause  = 200 * time.Microsecond // while the window is full
)

// run publishes, and waits until consumed, which counts messages from any start, has
// followed. What has not been consumed consumeWait after the last progress is lost.
func (l *load) run(address string, consumed func() (int64, error)) (loadResult, error) {
	w, err := dialWire(address, "bench-load-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err != nil {
		return loadResult{}, err
	}
	base, err := consumed()
	if err != nil {
		w.close()
		return loadResult{}, err
	}
	s := sender{load: l, w: w}
	var group sync.WaitGroup
	started := time.Now()
	group.Go(s.readAcks)
	var sendErr error
	sent := make(chan struct{})
	group.Go(func() { defer close(sent); sendErr = s.send(started) })
	last, follow := s.follow(base, consumed, sent)
	s.stop.Store(true)
	<-sent
	w.close()
	group.Wait()
	if sendErr != nil {
		return loadResult{}, fmt.Errorf("publish: %w", sendErr)
	}
	n := int(s.published.Load())
	return loadResult{messages: n - int(follow.missing), lost: int(follow.missing), elapsed: last.Sub(started)}, follow.err
}

// sender is one run of a load.
type sender struct {
	load      *load
	w         *wire
	published atomic.Int64
	acked     atomic.Int64
	consumed  atomic.Int64
	stop      atomic.Bool
}

type followed struct {
	missing int64
	err     error
}

// follow watches the consumer until it has everything or makes no progress.
func (s *sender) follow(base int64, consumed func() (int64, error), sent <-chan struct{}) (time.Time, followed) {
	tick := time.NewTicker(consumeLook)
	defer tick.Stop()
	last := time.Now()
	for {
		n, err := consumed()
		if err != nil {
			return last, followed{err: err}
		}
		if n-base > s.consumed.Load() {
			last = time.Now()
			s.consumed.Store(n - base)
		}
		missing := s.published.Load() - s.consumed.Load()
		select {
		case <-sent:
			missing = s.published.Load() - s.consumed.Load()
			if missing <= 0 {
				return last, followed{}
			}
		default:
		}
		if time.Since(last) > consumeWait {
			return last, followed{missing: missing}
		}
		<-tick.C
	}
}

// readAcks counts the broker's acknowledgements until the connection is closed.
func (s *sender) readAcks() {
	var in incoming
	for s.w.read(&in) == nil {
		if in.kind == packetPuback {
			s.acked.Add(1)
		}
	}
}

func (s *sender) send(started time.Time) error {
	l := s.load
	var payload []byte
	for n := 0; n < l.count && time.Since(started) < l.limit && !s.stop.Load(); {
		if n-int(s.consumed.Load()) >= l.window || l.qos > 0 && n-int(s.acked.Load()) >= ackWindow {
			time.Sleep(shortPause)
			continue
		}
		for range min(loadBatch, l.count-n) {
			payload = l.message(payload[:0], n)
			s.w.publish(l.topics[n%len(l.topics)], payload, l.qos, false)
			n++
		}
		if err := s.w.flush(); err != nil {
			return err
		}
		s.published.Store(int64(n))
	}
	return nil
}

// message is the n-th payload: a JSON object whose numbers change each time.
func (l *load) message(b []byte, n int) []byte {
	for i, name := range l.names {
		b = append(b, "{,"[min(i, 1)], '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = strconv.AppendInt(b, int64((n+i)%9000+1000), 10)
		b = append(b, '.', byte('1'+n%9))
	}
	return append(b, '}')
}

// valueNames are the names of n values.
func valueNames(n int) (names [][]byte) {
	for i := range n {
		names = append(names, []byte("v"+strconv.Itoa(i+1)))
	}
	return names
}
