package watch

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// open gets the system's file watcher, if there is one to be had.
func (w *watcher) open() {
	if w.opt.NoEvents {
		return
	}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.opt.Logger.Info("the system gives no file watcher; the file is looked at from time to time", "file", w.path, "every", w.opt.Poll, "error", err)
		return
	}
	w.fs, w.watched = fs, map[string]bool{}
	w.follow()
}

func (w *watcher) close() {
	if w.fs != nil {
		w.fs.Close()
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.fs == nil {
		return nil
	}
	return w.fs.Events
}

func (w *watcher) errors() <-chan error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Errors
}

// follow watches the folders that lead to the file now, and no others. A folder
// that was removed and made anew has another inode, so each is added again.
func (w *watcher) follow() {
	if w.fs == nil {
		return
	}
	now := map[string]bool{}
	for _, dir := range places(w.path) {
		if w.fs.Add(dir) == nil {
			now[dir] = true
		}
	}
	for dir := range w.watched {
		if !now[dir] {
			_ = w.fs.Remove(dir) // it may be gone, and then so is the watch
		}
	}
	w.watched = now
}

// maxLinks bounds the symbolic links on the way to a file, as the system does.
const maxLinks = 40

// places lists the folders in which something decides what the path leads to:
// the one of the file itself, and the one of each symbolic link on the way.
func places(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var dirs []string
	add := func(dir string) {
		for _, d := range dirs {
			if d == dir {
				return
			}
		}
		dirs = append(dirs, dir)
	}
	links := 0
	dir, rest := "/", strings.Split(strings.TrimPrefix(path, "/"), "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		here := filepath.Join(dir, name)
		target, err := os.Readlink(here)
		switch {
		case err != nil && len(rest) == 0:
			add(dir)
		case err != nil:
			dir = here
		default:
			add(dir)
			if links++; links > maxLinks {
				return dirs
			}
			if filepath.IsAbs(target) {
				dir = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
	return dirs
}
