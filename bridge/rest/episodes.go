package rest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// quiet ends an episode: so long nothing of its kind happened.
const quiet = 30 * time.Second

// told are the ends of requests that the log tells of, once in an episode, and
// what it says. The others are the caller's or the platform's own business.
var told = map[string]string{
	outcomeUnauthorized: "REST requests without a valid log-in",
	outcomeDenied:       "REST requests that are not let through",
	outcomeUnavailable:  "REST requests while there is no connection to the platform",
	outcomeFull:         "REST requests over the limits",
	outcomeTimeout:      "REST requests that the platform does not answer in time",
	outcomeLost:         "REST requests whose answer is lost",
}

// episodes count repetitions of one trouble, so that the log has one line when
// it begins and one, with the count, when it is over.
type episodes struct {
	log *slog.Logger

	mu   sync.Mutex // guards the following
	open map[string]*episode
}

type episode struct {
	count int
	last  time.Time
}

func newEpisodes(log *slog.Logger) *episodes {
	return &episodes{log: log, open: map[string]*episode{}}
}

// note counts a request that ended so; q is nil where there is none.
func (e *episodes) note(outcome string, q *http.Request, text string) {
	line := told[outcome]
	if line == "" {
		return
	}
	e.mu.Lock()
	now := e.open[outcome]
	first := now == nil
	if first {
		now = &episode{}
		e.open[outcome] = now
	}
	now.count++
	now.last = time.Now()
	e.mu.Unlock()
	if !first {
		return
	}
	args := []any{"reason", cut(text)}
	if q != nil {
		args = append(args, "remote", q.RemoteAddr, "method", q.Method, "path", cut(q.URL.Path))
	}
	e.log.Warn(line, args...)
}

const shown = 300 // bytes of a path or a reason in the log

func cut(s string) string {
	if len(s) > shown {
		return strings.ToValidUTF8(s[:shown], "") + "…"
	}
	return s
}

// run ends episodes that have gone quiet, and all of them when ctx ends.
func (e *episodes) run(ctx context.Context) {
	tick := time.NewTicker(quiet / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			e.end(0)
			return
		case <-tick.C:
			e.end(quiet)
		}
	}
}

func (e *episodes) end(silence time.Duration) {
	e.mu.Lock()
	over := map[string]int{}
	for outcome, now := range e.open {
		if time.Since(now.last) >= silence {
			over[outcome] = now.count
			delete(e.open, outcome)
		}
	}
	e.mu.Unlock()
	for outcome, count := range over {
		if count > 1 {
			e.log.Warn(told[outcome]+" (over)", "count", count)
		}
	}
}
