package store

import (
	"fmt"
	"log/slog"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	batchDelay = 50 * time.Millisecond // how long a change waits for others to share its fsync
	retryFirst = 250 * time.Millisecond
	retryMax   = 5 * time.Second
)

// trouble is the present episode of writes that fail.
type trouble struct {
	err      error
	since    time.Time
	failures int // since the start; it never goes back
}

// write is the writer: it gathers changes for a moment, writes them, and ends
// when there are none.
func (s *Store) write() {
	pause, hurry := batchDelay, (<-chan struct{})(s.hurry)
	for {
		s.wait(pause, hurry)
		batch, upTo := s.take()
		if batch == nil {
			return
		}
		if err := s.writeBatch(batch); err != nil {
			if pause = s.failed(err, pause); pause < 0 {
				return
			}
			hurry = nil // a disk in trouble is not tried more often for being waited for
			continue
		}
		s.succeeded(upTo)
		pause, hurry = batchDelay, s.hurry
	}
}

// wait returns after d, or at once when there is hurry or the store closes.
func (s *Store) wait(d time.Duration, hurry <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-s.closed:
	}
}

// take cuts the next batch. When there is none, the writer has ended.
func (s *Store) take() (batch map[change][]byte, upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		s.endLocked()
		return nil, 0
	}
	s.inFlight, s.pending = s.pending, make(map[change][]byte)
	return s.inFlight, s.noted
}

func (s *Store) endLocked() {
	s.writing = false
	s.turn.Broadcast()
}

func (s *Store) writeBatch(batch map[change][]byte) error {
	err := registryKind.Guard(s.db.Path(), func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			for c, data := range batch {
				bucket := tx.Bucket([]byte(c.bucket))
				var err error
				if data == nil {
					err = bucket.Delete([]byte(c.key))
				} else {
					err = bucket.Put([]byte(c.key), data)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("write registry %s: %w", s.db.Path(), err)
	}
	return nil
}

func (s *Store) succeeded(upTo uint64) {
	s.mu.Lock()
	s.inFlight, s.settled = nil, upTo
	over := s.trouble
	s.trouble = trouble{failures: over.failures}
	s.turn.Broadcast()
	s.mu.Unlock()
	if over.err != nil {
		s.log.Info("registry writes again", slog.String("file", s.db.Path()),
			slog.Duration("after", time.Since(over.since).Round(time.Millisecond)))
	}
}

// failed takes the batch back under what was noted meanwhile and says how long
// to wait; below 0: the store is closed, give up.
func (s *Store) failed(err error, pause time.Duration) time.Duration {
	s.mu.Lock()
	newer := s.pending
	s.pending, s.inFlight = s.inFlight, nil
	maps.Copy(s.pending, newer)
	first := s.trouble.err == nil
	if first {
		s.trouble.since = time.Now()
	}
	s.trouble.err = err
	s.trouble.failures++
	ended := s.ended
	if ended {
		s.endLocked()
	} else {
		s.turn.Broadcast()
	}
	s.mu.Unlock()
	if first {
		s.log.Error("registry cannot be written; changes are kept in memory and tried again", slog.Any("error", err))
	}
	switch {
	case ended:
		return -1
	case first:
		return retryFirst
	default:
		return min(2*pause, retryMax)
	}
}
