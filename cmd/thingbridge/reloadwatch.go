package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"thingbridge/config"
	"thingbridge/config/watch"
)

// settleTime is how long a file that is empty or has problems gets to become
// better before it is said to be bad: somebody may be writing it.
const settleTime = time.Second

// askReload is a reload that somebody waits for.
type askReload struct {
	why  string
	done chan reloadOutcome
}

// errNoReload says that nothing takes reloads (any more).
var errNoReload = errors.New("this bridge does not reload its configuration now")

// request has the file read and taken into use, and tells how it ended.
func (r *reloader) request(ctx context.Context, why string) (reloadOutcome, error) {
	ask := askReload{why, make(chan reloadOutcome, 1)}
	select {
	case r.asks <- ask:
	case <-ctx.Done():
		return reloadOutcome{}, errNoReload
	}
	select {
	case out := <-ask.done:
		return out, nil
	case <-ctx.Done():
		return reloadOutcome{}, ctx.Err()
	}
}

// run reloads until ctx ends: when the file changes, at a signal, and when
// somebody asks.
func (r *reloader) run(ctx context.Context) error {
	news := make(chan found)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, news)
	}()
	defer func() { <-watched }()
	var late <-chan time.Time // the file last found is bad, and gets a little time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.hangup:
			late = nil
			ended := r.manager.reloading()
			r.read("SIGHUP")
			ended()
		case ask := <-r.asks:
			late = nil
			ask.done <- r.read(ask.why)
		case f := <-news:
			late = nil
			if r.usable(f) {
				r.changed(f)
			} else {
				late = time.After(settleTime)
			}
		case <-late:
			late = nil
			text, err := config.Read(r.opt.File)
			r.changed(found{text, err})
		}
	}
}

// usable reports whether the file's content can be taken at once.
func (r *reloader) usable(f found) bool {
	if f.err != nil || len(bytes.TrimSpace(f.text)) == 0 {
		return false
	}
	c, _ := config.Parse(f.text, r.opt)
	return c != nil
}

// changed takes what stands in the file now, unless that was tried already.
func (r *reloader) changed(f found) {
	if r.isNews(f) {
		r.take("the file changed", f)
	}
}

// watch tells new contents of the file until ctx ends.
func (r *reloader) watch(ctx context.Context, news chan<- found) {
	if r.opt.File == "" {
		return
	}
	opt := watch.Options{Known: r.current.Load().Sum, Current: r.triedSum, Logger: r.log}
	watch.Run(ctx, r.opt.File, opt, func(text []byte, err error) {
		select {
		case news <- found{text, err}:
		case <-ctx.Done():
		}
	})
}
