package console

import (
	"fmt"
	"net/http"
	"net/http/pprof" // also registers with http.DefaultServeMux, which nobody serves here
	"strconv"
	"strings"
)

// servePprof adds Go's profiles, where they are switched on, behind the guard
// that mux is behind. The command line is not among them: it is nobody's business.
func (c *Console) servePprof(mux *http.ServeMux) {
	if !c.opt.Pprof {
		mux.HandleFunc("/debug/pprof/", only("GET", func(w http.ResponseWriter, r *http.Request) {
			fail(w, http.StatusNotFound, "Go's profiles are switched off; see the console's pprof")
		}))
		return
	}
	mux.HandleFunc("/debug/pprof/profile", only("GET", forSeconds(pprof.Profile)))
	mux.HandleFunc("/debug/pprof/trace", only("GET", forSeconds(pprof.Trace)))
	mux.HandleFunc("/debug/pprof/", only("GET", func(w http.ResponseWriter, r *http.Request) {
		switch name := strings.TrimPrefix(r.URL.Path, "/debug/pprof/"); name {
		case "allocs", "block", "goroutine", "heap", "mutex", "threadcreate":
			forSeconds(pprof.Handler(name).ServeHTTP)(w, r)
		default:
			fail(w, http.StatusNotFound, fmt.Sprintf("no profile %q; there are allocs, block, goroutine, heap, mutex, profile?seconds=N, threadcreate and trace?seconds=N", name))
		}
	}))
}

// maxProfileSeconds bounds what a profile may ask for.
const maxProfileSeconds = 120

// forSeconds refuses what would take longer than maxProfileSeconds.
func forSeconds(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := r.URL.Query().Get("seconds")
		if s, err := strconv.ParseFloat(text, 64); text != "" && !(err == nil && s > 0 && s <= maxProfileSeconds) {
			fail(w, http.StatusBadRequest, fmt.Sprintf("seconds: expected a number from 1 to %d", maxProfileSeconds))
			return
		}
		next(w, r)
	}
}
