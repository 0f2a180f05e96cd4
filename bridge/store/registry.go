package store

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Buckets of registry.db, beside the one for its format number.
const (
	bucketThings = "things"
	bucketState  = "state"
	bucketWrites = "writes" // came later: a file without it gets it when it is opened
)

type entry struct {
	key  string
	data []byte
}

// change notes one change and sees to it that it will be written.
func (s *Store) change(c change, data []byte) error {
	if c.key == "" || len(c.key) > bolt.MaxKeySize {
		return fmt.Errorf("keep %q: a name must have 1 to %d bytes", c.key[:min(len(c.key), 40)], bolt.MaxKeySize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrClosed
	}
	if s.memory != nil {
		if data == nil {
			delete(s.memory, c)
		} else {
			s.memory[c] = data
		}
		return nil
	}
	s.pending[c] = data
	s.noted++
	if !s.writing {
		s.writing = true
		go s.write()
	}
	return nil
}

// read gives one bucket as it is with all changes, sorted by key.
func (s *Store) read(bucket string) ([]entry, error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	found, err := s.readFile(bucket)
	for _, over := range []map[change][]byte{s.memory, s.inFlight, s.pending} {
		for c, data := range over {
			if c.bucket == bucket {
				found[c.key] = bytes.Clone(data)
			}
		}
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	all := make([]entry, 0, len(found))
	for key, data := range found {
		if data != nil {
			all = append(all, entry{key, data})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return all, nil
}

func (s *Store) readFile(bucket string) (map[string][]byte, error) {
	found := make(map[string][]byte)
	if s.db == nil {
		return found, nil
	}
	err := registryKind.Guard(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
				found[string(k)] = append([]byte{}, v...)
				return nil
			})
		})
	})
	return found, err
}
