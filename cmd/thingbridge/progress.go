package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"thingbridge/bridge"
)

const (
	progressLook  = 250 * time.Millisecond // between two looks
	progressShown = time.Second            // work that is done sooner shows no live line
	progressEvery = 10 * time.Second       // between two log lines
	progressLeast = 200                    // less is not told of
	progressStuck = progressEvery          // without headway it is told of no more
	progressLarge = 5000                   // after so much, memory is given back
)

// longWork is one kind of work that may take long, and how far it is. It is used
// on one goroutine.
type longWork struct {
	doing, done string // "binding things", "things bound"
	// look tells how much is left, and whether it can go on now.
	look func() (left int, goes bool)

	active      bool
	began, told time.Time
	total, left int

	first int       // what was left when it began
	low   int       // the least that was left since then
	moved time.Time // when that was last undercut
	rests int       // so much made no headway, such as values of devices that never announced themselves
	stuck bool      // that is how it ended
}

// note takes a look at a time. over is true once, when the work has ended, or
// makes no headway any more.
func (w *longWork) note(now time.Time, left int, goes bool) (over bool) {
	if left < w.rests-progressLeast {
		w.rests = 0 // it goes on
	}
	w.rests = min(w.rests, left)
	left -= w.rests
	switch {
	case !w.active && goes && left >= progressLeast:
		w.active, w.began, w.told, w.total, w.left = true, now, now, left, left
		w.first, w.low, w.moved, w.stuck = left, left, now, false
	case w.active && !goes:
		w.active = false
		return true
	case w.active && left <= progressLeast/20:
		w.active, w.left = false, left
		return true
	case w.active && left >= w.low && now.Sub(w.moved) >= progressStuck:
		w.active, w.left, w.stuck = false, left, true
		w.rests += left
		return w.low < w.first
	case w.active:
		if left < w.low {
			w.low, w.moved = left, now
		}
		w.total += max(0, left-w.left) // more came while it went on
		w.left = left
	}
	return false
}

// rate is what was done in a second, eta the time that the rest takes at that
// rate; 0 for not known.
func (w *longWork) rate(now time.Time) (perSecond float64, eta time.Duration) {
	perSecond = float64(w.total-w.left) / max(now.Sub(w.began).Seconds(), 0.001)
	if perSecond > 0 {
		eta = time.Duration(float64(w.left) / perSecond * float64(time.Second)).Round(time.Second)
	}
	return perSecond, eta
}

// line is for a terminal, below 80 columns.
func (w *longWork) line(now time.Time) string {
	perSecond, eta := w.rate(now)
	text := fmt.Sprintf("%s: %d of %d (%d%%), %.0f/s", w.doing, w.total-w.left, w.total, 100*(w.total-w.left)/w.total, perSecond)
	if eta > 0 {
		text += fmt.Sprintf(", %s left", eta)
	}
	return text
}

// progress shows long work: on a terminal one line that is rewritten, elsewhere
// a log line each progressEvery; and one log line at its end.
type progress struct {
	log   *slog.Logger
	live  *liveWriter // nil: no terminal
	works []*longWork

	// giveBack returns the memory that is free to the system. Large work takes much
	// for a moment; the collector alone keeps room for as much again.
	giveBack func()
	large    bool // large work is over, and memory has not been given back since
}

// run shows until ctx ends.
func (p *progress) run(ctx context.Context) error {
	tick := time.NewTicker(progressLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.live.show("")
			return nil
		case now := <-tick.C:
			p.look(now)
		}
	}
}

func (p *progress) look(now time.Time) {
	line, busy := "", false
	for _, w := range p.works {
		left, goes := w.look()
		if w.note(now, left, goes) {
			p.live.show("")
			p.over(w, now)
			p.large = p.large || w.total >= progressLarge
			continue
		}
		if !w.active {
			continue
		}
		busy = true
		if line == "" && now.Sub(w.began) >= progressShown {
			line = w.line(now)
		}
		if p.live == nil && now.Sub(w.told) >= progressEvery {
			w.told = now
			perSecond, eta := w.rate(now)
			p.log.Info(w.doing, "count", w.total-w.left, "total", w.total, "rate", math.Round(perSecond), "eta", eta)
		}
	}
	p.live.show(line)
	if p.large && !busy {
		p.large = false
		p.giveBack()
	}
}

// over tells of the end, if there was much to do.
func (p *progress) over(w *longWork, now time.Time) {
	text := w.done
	switch {
	case w.stuck:
		text = w.doing + " makes no headway"
	case w.left > progressLeast/20:
		text = w.doing + " was interrupted"
	}
	perSecond, _ := w.rate(now)
	p.log.Info(text, "count", w.total-w.left, "total", w.total, "rate", math.Round(perSecond), "after", now.Sub(w.began).Round(time.Millisecond))
}

// newProgress watches what an app has to do after a start or an outage.
func newProgress(a *app, live *liveWriter) *progress {
	connected := func() bool { return a.client.Status().Connected }
	return &progress{log: a.log.With("part", "bridge"), live: live, giveBack: debug.FreeOSMemory, works: []*longWork{
		{doing: "binding things", done: "things bound", look: func() (int, bool) {
			s := a.client.Status()
			return s.Wanted - s.Bound - s.Refused, s.Connected
		}},
		{doing: "asking what is wanted of things", done: "known what is wanted of things", look: func() (int, bool) {
			return a.bridge.Status().Things[bridge.StateBound], connected()
		}},
		{doing: "provisioning things", done: "things provisioned", look: func() (int, bool) { return a.bridge.Provisioning(), connected() }},
		{doing: "sending what waited", done: "what waited is sent", look: func() (int, bool) { return a.outbox.Status().Records, connected() }},
	}}
}

// liveWriter writes to a terminal whose last line is rewritten while lines of
// the log pass above it. Safe for concurrent use; a nil one shows nothing.
type liveWriter struct {
	out io.Writer

	mu   sync.Mutex // guards the following
	line string
}

const clearLine = "\r\x1b[K"

// Write implements io.Writer.
func (l *liveWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return l.out.Write(b)
	}
	if _, err := io.WriteString(l.out, clearLine); err != nil {
		return 0, err
	}
	n, err := l.out.Write(b)
	if err == nil {
		_, err = io.WriteString(l.out, l.line)
	}
	return n, err
}

// show puts up another last line, "" for none.
func (l *liveWriter) show(line string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if line != l.line {
		// A terminal that takes no more has nobody who looks.
		_, _ = io.WriteString(l.out, clearLine+line)
		l.line = line
	}
}
