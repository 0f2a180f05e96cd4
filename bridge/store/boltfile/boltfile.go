// Package boltfile opens the bbolt files of a data directory the same careful
// way: made whole or not at all, with a format number, locked, and with errors
// that name the file and say what to do.
//
// Order and loss are bbolt's: a transaction is on disk when Update returns, or
// nothing of it. Blocking: Open waits up to a second for the file's lock. It
// starts no goroutines. Functions may be called from any goroutine.
package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const lockWait = time.Second

const bucketMeta = "meta"

var keyFormat = []byte("format")

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("another process has it open")

// DamagedError says that a file cannot be understood.
type DamagedError struct {
	Path string
	Lost string // what is lost when it is moved away
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %v; nothing was changed in it. To go on without it, stop the bridge and move it away "+
		"(mv %[1]s %[1]s.damaged): %s", e.Path, e.Err, e.Lost)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// FormatError says that a file or directory was written by a newer program.
type FormatError struct {
	Path       string
	Have, Know int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d, this program knows formats up to %d; use the newer thingbridge that wrote it, or an empty data_dir",
		e.Path, e.Have, e.Know)
}

// Kind is one sort of file.
type Kind struct {
	Buckets []string // all it must have, beside "meta" for the format number
	Later   []string // beside these; a file that has none of them is given them
	Format  int      // written into new files; older ones are accepted
	Lost    string   // what moving a damaged one away costs, for people
	// Check, when not nil, says what is wrong with an entry.
	Check func(bucket string, key, value []byte) error
}

// Open opens the file at path, or makes it. It reads and checks the whole file
// first. Errors are a *DamagedError, a *FormatError, one that wraps ErrLocked, or
// the file system's; none of them changes the file.
func (k Kind) Open(path string) (*bolt.DB, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := k.make(path); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	case err != nil:
		return nil, err
	case info.Size() == 0: // the library would write into it
		return nil, k.Damaged(path, errors.New("it is empty"))
	default:
		if err := k.verify(path); err != nil {
			return nil, err
		}
	}
	db, err := k.OpenRaw(path)
	if err != nil {
		return nil, err
	}
	if err := k.complete(path, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// complete makes the buckets that a file of an earlier program does not have.
func (k Kind) complete(path string, db *bolt.DB) error {
	missing := false
	err := k.Guard(path, func() error {
		return db.View(func(tx *bolt.Tx) error {
			for _, name := range k.Later {
				missing = missing || tx.Bucket([]byte(name)) == nil
			}
			return nil
		})
	})
	if err != nil || !missing {
		return err
	}
	return k.Guard(path, func() error {
		return db.Update(func(tx *bolt.Tx) error {
			for _, name := range k.Later {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// OpenRaw opens or makes a file without looking at what it holds. A damaged one
// may end the process: the library looks for free pages on a goroutine of its own.
func (k Kind) OpenRaw(path string) (*bolt.DB, error) {
	return k.open(path, &bolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoStatistics: true,
	})
}

func (k Kind) open(path string, opt *bolt.Options) (db *bolt.DB, err error) {
	err = k.Guard(path, func() error {
		db, err = bolt.Open(path, 0o600, opt)
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	case errors.As(err, new(*DamagedError)) || errors.As(err, new(syscall.Errno)):
		return nil, err
	default: // the library's own errors are all about what it finds in the file
		return nil, k.Damaged(path, err)
	}
}

// verify reads the whole file, read-only and on this goroutine, where a panic of
// the library can be caught.
func (k Kind) verify(path string) error {
	db, err := k.open(path, &bolt.Options{Timeout: lockWait, ReadOnly: true, NoStatistics: true})
	if err != nil {
		return err
	}
	err = k.Guard(path, func() error { return db.View(func(tx *bolt.Tx) error { return k.check(path, tx) }) })
	return errors.Join(err, db.Close())
}

func (k Kind) make(path string) error {
	fresh := path + ".new"
	if err := RemoveIfThere(fresh); err != nil {
		return err
	}
	db, err := k.OpenRaw(fresh)
	if err != nil {
		return errors.Join(err, RemoveIfThere(fresh))
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range append([]string{bucketMeta}, k.Buckets...) {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put(keyFormat, binary.BigEndian.AppendUint32(nil, uint32(k.Format)))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, RemoveIfThere(fresh))
	}
	return MoveOver(fresh, path)
}

func (k Kind) check(path string, tx *bolt.Tx) error {
	for _, name := range append([]string{bucketMeta}, k.Buckets...) {
		if tx.Bucket([]byte(name)) == nil {
			return k.Damaged(path, fmt.Errorf("bucket %q is missing", name))
		}
	}
	v := tx.Bucket([]byte(bucketMeta)).Get(keyFormat)
	if len(v) != 4 {
		return k.Damaged(path, errors.New("it has no format number"))
	}
	if have := binary.BigEndian.Uint32(v); int64(have) > int64(k.Format) {
		return &FormatError{Path: path, Have: int(have), Know: k.Format}
	}
	for _, name := range append(k.Buckets[:len(k.Buckets):len(k.Buckets)], k.Later...) {
		bucket := tx.Bucket([]byte(name))
		if bucket == nil {
			continue // of the later ones
		}
		if err := k.checkBucket(name, bucket); err != nil {
			return k.Damaged(path, fmt.Errorf("bucket %q: %w", name, err))
		}
	}
	return nil
}

func (k Kind) checkBucket(name string, bucket *bolt.Bucket) error {
	var last []byte
	return bucket.ForEach(func(key, value []byte) error {
		if last != nil && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("key %x follows key %x", key, last)
		}
		if value == nil {
			return fmt.Errorf("key %x has no value", key)
		}
		last = key
		if k.Check == nil {
			return nil
		}
		return k.Check(name, key, value)
	})
}

// Damaged makes a *DamagedError.
func (k Kind) Damaged(path string, err error) error {
	return &DamagedError{Path: path, Lost: k.Lost, Err: err}
}

// Guard runs do and turns a panic in it, or a fault on the mapped file, into a
// *DamagedError. The file's locks may then be taken for good: do not close it.
func (k Kind) Guard(path string, do func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = k.Damaged(path, fmt.Errorf("%v", p))
		}
	}()
	return do()
}

// MoveOver renames a file and makes its new name durable.
func MoveOver(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// RemoveIfThere removes a file; that there is none is no error.
func RemoveIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
