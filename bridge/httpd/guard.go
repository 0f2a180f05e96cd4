package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// guard lets requests through to what is not open to everybody.
type guard struct {
	opt    *Options
	hosts  map[string]bool
	origin *http.CrossOriginProtection
}

func newGuard(o *Options) *guard {
	return &guard{opt: o, hosts: ownHosts(o), origin: http.NewCrossOriginProtection()}
}

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := g.hasToken(r)
		switch {
		case !token && !g.knownHost(r.Host):
			fail(w, http.StatusMisdirectedRequest, "the Host header names another host; use the address, or list the name under the console's hosts")
		case g.opt.authenticates() && !token && !g.hasPassword(r):
			if g.opt.Password != "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="thingbridge", charset="UTF-8"`)
			} else {
				w.Header().Set("WWW-Authenticate", `Bearer realm="thingbridge"`)
			}
			fail(w, http.StatusUnauthorized, "a token, or a user name and password, is needed")
		case g.origin.Check(r) != nil:
			fail(w, http.StatusForbidden, "requests that change something are not taken from other sites' pages")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, g.opt.BodyLimit)
			next.ServeHTTP(w, r)
		}
	})
}

func (g *guard) knownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if g.hosts[host] {
		return true
	}
	// An address cannot be made to point elsewhere. Beyond loopback it may be
	// any of the machine's, or of what forwards to it.
	return g.opt.authenticates() && net.ParseIP(host) != nil
}

func (g *guard) hasToken(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && g.opt.Token != "" && strings.EqualFold(scheme, "Bearer") && same(token, g.opt.Token)
}

func (g *guard) hasPassword(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || g.opt.Password == "" {
		return false
	}
	userOK, passwordOK := same(user, g.opt.Username), same(password, g.opt.Password)
	return userOK && passwordOK
}

// same compares in a time that tells nothing about the texts.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
