package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dataDir looks whether the data directory can be used, or made, without
// touching it. That it cannot be written is a warning: the configuration may be
// checked by somebody else, or elsewhere, than where the bridge runs.
func (l *loader) dataDir(dir string) {
	if !l.opt.Here || dir == "" || l.bad("data_dir") {
		return
	}
	there, info, err := standing(dir)
	switch {
	case err != nil:
		l.caution("data_dir", "cannot be looked at: "+reasonOf(err), "a directory that the bridge's user can write to")
	case !info.IsDir() && there == filepath.Clean(dir):
		l.fault("data_dir", "is a file", "a directory, or the name of one to be made")
	case !info.IsDir():
		l.fault("data_dir", fmt.Sprintf("cannot be made: %s is a file", there), "a directory, or the name of one to be made")
	default:
		if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
			l.caution("data_dir", fmt.Sprintf("%s cannot be written by user id %d: %v; run as that user the bridge does not start", there, os.Getuid(), err),
				"a directory that the bridge's user can write to")
		} else if there == filepath.Clean(dir) {
			l.dataFiles(there)
		}
	}
}

// dataFiles looks whether what an earlier bridge left in the directory can be
// used; it may have run as somebody else.
func (l *loader) dataFiles(dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return // who may not list it may still use what is in it
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if !f.Type().IsRegular() {
			continue
		}
		if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
			l.caution("data_dir", fmt.Sprintf("%s cannot be read and written by user id %d: %v; run as that user the bridge does not start", path, os.Getuid(), err),
				"files of the bridge's own user, as chown -R makes them")
			return
		}
	}
}

// standing gives path, or what is there of it: the nearest folder above.
func standing(path string) (string, fs.FileInfo, error) {
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err == nil || path == filepath.Dir(path) {
			return path, info, err
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return path, nil, err
		}
	}
}

// reasonOf leaves out the path, which the message names.
func reasonOf(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
