package watch

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options say how a file is watched. A zero field means its default.
type Options struct {
	// Known is the SHA-256 of the content that need not be told; zero: the first one is told.
	Known [sha256.Size]byte
	// Current, where it is set, gives the SHA-256 of the content that was taken last,
	// by whatever way: once that is another one, it is what need not be told.
	Current func() [sha256.Size]byte
	Quiet   time.Duration // between two looks that must find the same; default 300 ms
	Poll    time.Duration // a look without an event; default 10 s
	// Read gives the content; default: the file's, up to 16 MiB and one byte.
	Read func(path string) ([]byte, error)
	// NoEvents does without the system's file watcher.
	NoEvents bool
	Logger   *slog.Logger // nil: silent
}

func (o *Options) fill() {
	if o.Quiet <= 0 {
		o.Quiet = 300 * time.Millisecond
	}
	if o.Poll <= 0 {
		o.Poll = 10 * time.Second
	}
	if o.Read == nil {
		o.Read = readAtMost
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

const maxRead = 16<<20 + 1

func readAtMost(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// look is what was found in the file.
type look struct {
	text []byte
	sum  [sha256.Size]byte
	err  error
}

func (l look) same(o look) bool {
	if l.err != nil || o.err != nil {
		return l.err != nil && o.err != nil
	}
	return l.sum == o.sum
}

// Run watches a file until ctx ends and tells each new content; when the file
// cannot be read it tells why, once until it can again. told runs on Run's
// goroutine.
func Run(ctx context.Context, path string, opt Options, told func(text []byte, err error)) {
	opt.fill()
	w := watcher{path: path, opt: opt, known: look{sum: opt.Known}, current: opt.Known}
	w.open()
	defer w.close()
	poll := time.NewTicker(opt.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(0) // what changed before the watch began
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events():
			quiet.Reset(opt.Quiet)
			continue
		case err := <-w.errors():
			opt.Logger.Debug("file watcher", "file", path, "error", err)
			quiet.Reset(opt.Quiet)
			continue
		case <-poll.C:
		case <-quiet.C:
		}
		w.follow()
		switch news, settled := w.look(); {
		case settled:
			told(news.text, news.err)
		case news != nil:
			quiet.Reset(opt.Quiet)
		}
	}
}

// watcher finds out whether there is something new.
type watcher struct {
	path    string
	opt     Options
	known   look // what was told last, or taken otherwise since
	current [sha256.Size]byte
	seen    *look // what the last look found, where that is new
	fs      *fsnotify.Watcher
	watched map[string]bool
}

// look reads the file. news is what it found, nil when that is known; settled
// says that the look before found the same.
func (w *watcher) look() (news *look, settled bool) {
	text, err := w.opt.Read(w.path)
	now := look{text, sha256.Sum256(text), err}
	if w.opt.Current != nil {
		if sum := w.opt.Current(); sum != w.current {
			w.current, w.known = sum, look{sum: sum}
		}
	}
	if now.same(w.known) {
		w.seen = nil
		return nil, false
	}
	if w.seen == nil || !w.seen.same(now) {
		w.seen = &now
		return &now, false
	}
	w.known, w.seen = look{sum: now.sum, err: err}, nil
	return &now, true
}
