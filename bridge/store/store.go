package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	bolt "go.etcd.io/bbolt"

	"thingbridge/bridge"
)

// Files of a data directory.
const (
	lockFile     = "lock"
	formatFile   = "format"
	registryFile = "registry.db"
	outboxFile   = "outbox.db"
)

// ErrClosed says that the store is closed.
var ErrClosed = errors.New("data directory is closed")

// Options sets up a Store. The zero value is usable.
type Options struct {
	// Logger takes one line per change of state; nil: none.
	Logger *slog.Logger
}

// Store keeps the registry and small records of a bridge. See the package comment.
type Store struct {
	dir    string // "": in memory
	log    *slog.Logger
	lock   *os.File
	db     *bolt.DB // nil: in memory
	closed chan struct{}
	hurry  chan struct{} // has the writer not gather any longer

	mu       sync.Mutex        // guards the following
	memory   map[change][]byte // all there is, in memory
	pending  map[change][]byte // what waits for the writer; nil value: deleted
	inFlight map[change][]byte // what the writer writes
	noted    uint64            // changes so far
	settled  uint64            // of them, written
	writing  bool              // the writer runs
	ended    bool
	trouble  trouble
	turn     *sync.Cond // on mu: an attempt to write ended, or the writer did
}

var _ bridge.Store = (*Store)(nil)

// change names one value in the registry file.
type change struct{ bucket, key string }

// Open opens the data directory, makes it (mode 0700) if there is none, locks
// it and reads its format. dir "" gives a store in memory. The errors say what
// to do; none of them changes anything in the directory.
func Open(dir string, opt Options) (*Store, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if dir == "" {
		return NewMemory(), nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	s := newStore()
	s.dir, s.log, s.pending = abs, opt.Logger, make(map[change][]byte)
	if err := s.open(); err != nil {
		return nil, describe(abs, err)
	}
	return s, nil
}

// NewMemory makes a Store that keeps nothing over a restart.
func NewMemory() *Store {
	s := newStore()
	s.memory = make(map[change][]byte)
	return s
}

func newStore() *Store {
	s := &Store{log: slog.New(slog.DiscardHandler), closed: make(chan struct{}), hurry: make(chan struct{}, 1)}
	s.turn = sync.NewCond(&s.mu)
	return s
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(filepath.Join(s.dir, lockFile))
	if err != nil {
		return err
	}
	if err := checkFormat(s.dir); err != nil {
		return errors.Join(err, lock.Close())
	}
	db, err := openRegistry(filepath.Join(s.dir, registryFile))
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	s.lock, s.db = lock, db
	return nil
}

// Dir is the directory's absolute path, "" in memory.
func (s *Store) Dir() string { return s.dir }

// OutboxPath is where the outbox's file belongs, "" in memory.
func (s *Store) OutboxPath() string {
	if s.dir == "" {
		return ""
	}
	return filepath.Join(s.dir, outboxFile)
}

// Save implements bridge.Store: it notes the change and returns. Changes are
// written together within some tens of milliseconds; while the disk does not
// write they are kept in RAM and tried again. data must not be changed afterwards.
// The only error is ErrClosed, or that a name is empty or over 32 KiB.
func (s *Store) Save(thing string, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	return s.change(change{bucketThings, thing}, data)
}

// Delete implements bridge.Store; to delete what is not there is no error.
func (s *Store) Delete(thing string) error {
	return s.change(change{bucketThings, thing}, nil)
}

// Load implements bridge.Store, in the order of the names. data is each's own.
// The store may be used from within each.
func (s *Store) Load(each func(thing string, data []byte) error) error {
	all, err := s.read(bucketThings)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := each(e.key, e.data); err != nil {
			return err
		}
	}
	return nil
}

const keyFilters = "subscribed filters"

// SaveFilters keeps the topic filters that the broker's session holds. It
// returns when they are on disk, or the attempt to write them failed.
func (s *Store) SaveFilters(filters []string) error {
	data, err := json.Marshal(filters)
	if err != nil {
		return err
	}
	if err := s.change(change{bucketState, keyFilters}, data); err != nil {
		return err
	}
	return s.Sync()
}

// LoadFilters gives what SaveFilters kept; nil: nothing.
func (s *Store) LoadFilters() ([]string, error) {
	all, err := s.read(bucketState)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.key != keyFilters {
			continue
		}
		var filters []string
		if err := json.Unmarshal(e.data, &filters); err != nil {
			return nil, registryKind.Damaged(filepath.Join(s.dir, registryFile), fmt.Errorf("subscribed filters: %w", err))
		}
		return filters, nil
	}
	return nil, nil
}

// Err says why the disk does not write at present; nil: it does.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble.err
}

// Sync has the changes noted so far written at once and waits until they are on
// disk, or an attempt to write them failed; it gives that attempt's error.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, failures := s.noted, s.trouble.failures
	select {
	case s.hurry <- struct{}{}:
	default:
	}
	for s.writing && s.settled < want && s.trouble.failures == failures {
		s.turn.Wait()
	}
	if s.settled < want {
		return s.trouble.err
	}
	return nil
}

// Close writes what is noted, with one last attempt if the disk does not write,
// closes the file and unlocks the directory. It says what could not be written.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	close(s.closed)
	for s.writing {
		s.turn.Wait()
	}
	left, err := len(s.pending), s.trouble.err
	s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	if left > 0 {
		err = fmt.Errorf("close data directory %s: %d changes are not written: %w", s.dir, left, err)
	}
	return errors.Join(err, s.db.Close(), s.lock.Close())
}
