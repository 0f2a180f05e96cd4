package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"thingbridge/bridge/store/boltfile"
)

// Format is the format number of a data directory that this program writes, and
// the greatest that it reads.
const Format = 1

const formatPrefix = "thingbridge data directory, format "

var registryKind = boltfile.Kind{
	Buckets: []string{bucketThings, bucketState},
	Later:   []string{bucketWrites},
	Format:  Format,
	Lost:    "Things whose announcement is not retained are then unknown until they announce themselves again, and writes that wait for sleeping devices are lost",
}

// LockedError says that another process uses the data directory.
type LockedError struct {
	Dir string
	PID int // of that process; 0: unknown
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s; give each bridge a data_dir of its own, or stop the other one", e.Dir, who)
}

// describe makes an error of opening dir say what to do.
func describe(dir string, err error) error {
	var locked *LockedError
	var format *boltfile.FormatError
	var damaged *boltfile.DamagedError
	if errors.As(err, &locked) || errors.As(err, &format) || errors.As(err, &damaged) {
		return err
	}
	what := ""
	switch {
	case errors.Is(err, syscall.EROFS):
		what = "; the file system is read-only: choose a data_dir that can be written to"
	case errors.Is(err, fs.ErrPermission):
		what = fmt.Sprintf("; the directory and the files in it must belong to user id %d (chown -R, or choose another data_dir)", os.Geteuid())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		what = "; the disk is full: free some space and start again"
	case errors.Is(err, syscall.ENOTDIR):
		what = "; data_dir must name a directory"
	}
	return fmt.Errorf("open data directory %s: %w%s", dir, err, what)
}

// lockDir takes the directory's lock for this process's life and writes its
// number into the lock file.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{Dir: filepath.Dir(path), PID: readPID(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	_, err = f.WriteAt(pid, 0)
	if err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) { // a full disk costs only the number
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readPID(f *os.File) int {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid
}

// checkFormat reads the directory's format number, or writes it into a new one.
func checkFormat(dir string) error {
	path := filepath.Join(dir, formatFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeWhole(path, []byte(formatPrefix+strconv.Itoa(Format)+"\n"))
	}
	if err != nil {
		return err
	}
	number, ok := strings.CutPrefix(strings.TrimSpace(string(b)), formatPrefix)
	have, err := strconv.Atoi(number)
	if !ok || err != nil || have < 1 {
		return &boltfile.DamagedError{Path: path, Lost: "the directory is then taken for one of format 1",
			Err: fmt.Errorf("it holds %.40q; expected %q", b, formatPrefix+strconv.Itoa(Format))}
	}
	if have > Format {
		return &boltfile.FormatError{Path: dir, Have: have, Know: Format}
	}
	return nil
}

// writeWhole makes a file appear with all of its content or not at all.
func writeWhole(path string, b []byte) error {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return boltfile.MoveOver(fresh, path)
}

func openRegistry(path string) (*bolt.DB, error) {
	db, err := registryKind.Open(path)
	if errors.Is(err, boltfile.ErrLocked) {
		return nil, &LockedError{Dir: filepath.Dir(path)}
	}
	return db, err
}
