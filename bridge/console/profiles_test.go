package console

import (
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreServedOnlyWhereTheyAreSwitchedOnAndGuarded(t *testing.T) {
	on := func(o *Options) { o.Pprof = true }
	locked := func(o *Options) { o.Pprof, o.Token = true, "T" }
	cases := []struct {
		name    string
		options func(*Options)
		request *http.Request
		status  int
		body    string
	}{
		{"switched off", func(*Options) {}, get("/debug/pprof/heap"), 404, "switched off"},
		{"a profile", on, get("/debug/pprof/goroutine?debug=1"), 200, "goroutine profile: total"},
		{"a profile that is none", on, get("/debug/pprof/cmdline"), 404, "no profile"},
		{"the index names them", on, get("/debug/pprof/"), 404, "heap"},
		{"by POST", on, post("/debug/pprof/heap", "{}"), 405, ""},
		{"without the token", locked, get("/debug/pprof/heap"), 401, "token"},
		{"under a foreign name", on, func() *http.Request { r := get("/debug/pprof/heap"); r.Host = "evil.example"; return r }(), 421, ""},
		{"for too long", on, get("/debug/pprof/profile?seconds=3600"), 400, "from 1 to 120"},
		{"for no time", on, get("/debug/pprof/trace?seconds=NaN"), 400, "from 1 to 120"},
		{"a difference over too long", on, get("/debug/pprof/heap?seconds=121"), 400, "from 1 to 120"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			c.options(&o)
			if w := serve(t, o, c.request); w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Fatalf("%d %s, expected %d with %s", w.Code, w.Body, c.status, c.body)
			}
		})
	}
}
