package httpd

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// Access says whom a listener lets in.
type Access struct {
	Listen             string // host:port
	Token              string
	TokenHeader        string // a header that may carry the token, beside Authorization; empty: none
	Username, Password string
	Hosts              []string // names, besides our own, that the Host header may have
	PageHeader         string   // a header of requests of our own page, which asks for the log-in itself; empty: none
}

// ErrOpen is the refusal to listen beyond loopback without authentication.
var ErrOpen = errors.New("it would be open to the network: set a token, or a user name and password, or listen on 127.0.0.1")

// Check says what is wrong with a.
func (a *Access) Check() error {
	host, _, err := net.SplitHostPort(a.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("listen address %q: %w; expected host:port", a.Listen, err)
	case (a.Username == "") != (a.Password == ""):
		return errors.New("a user name needs a password, and a password a user name")
	case !a.Authenticates() && !isLoopback(host):
		return fmt.Errorf("listen address %q: %w", a.Listen, ErrOpen)
	}
	return nil
}

// Authenticates reports whether callers have to log in.
func (a *Access) Authenticates() bool { return a.Token != "" || a.Password != "" }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Guard lets requests through to what is not open to everybody.
type Guard struct {
	access Access
	fail   Fail
	hosts  map[string]bool
	origin *http.CrossOriginProtection
}

// Fail writes the answer to a request that is not let through.
type Fail func(w http.ResponseWriter, r *http.Request, status int, text string)

// NewGuard makes the guard of a checked Access.
func NewGuard(a Access, fail Fail) *Guard {
	turnAway := func(w http.ResponseWriter, r *http.Request, status int, text string) {
		refused(r)
		fail(w, r, status, text)
	}
	return &Guard{access: a, fail: turnAway, hosts: ownHosts(&a), origin: http.NewCrossOriginProtection()}
}

// Wrap gives next behind the guard.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := g.hasToken(r) || g.hasPassword(r)
		switch {
		case !in && !g.knownHost(r.Host):
			g.fail(w, r, http.StatusMisdirectedRequest, "the Host header names another host; use the address that is listened on, or log in")
		case !in && g.access.Authenticates():
			// A browser would ask in a window of its own.
			page := g.access.PageHeader != "" && r.Header.Get(g.access.PageHeader) != ""
			if g.access.Password != "" && !page {
				w.Header().Set("WWW-Authenticate", `Basic realm="thingbridge", charset="UTF-8"`)
			} else {
				w.Header().Set("WWW-Authenticate", `Bearer realm="thingbridge"`)
			}
			g.fail(w, r, http.StatusUnauthorized, "a token, or a user name and password, is needed")
		case g.origin.Check(r) != nil:
			g.fail(w, r, http.StatusForbidden, "requests that change something are not taken from other sites' pages")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *Guard) knownHost(hostport string) bool {
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
	return g.access.Authenticates() && net.ParseIP(host) != nil
}

func (g *Guard) hasToken(r *http.Request) bool {
	if g.access.Token == "" {
		return false
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") && same(token, g.access.Token) {
		return true
	}
	return g.access.TokenHeader != "" && same(r.Header.Get(g.access.TokenHeader), g.access.Token)
}

func (g *Guard) hasPassword(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || g.access.Password == "" {
		return false
	}
	userOK, passwordOK := same(user, g.access.Username), same(password, g.access.Password)
	return userOK && passwordOK
}

// same compares in a time that tells nothing about the texts.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ownHosts are the names that the Host header may have.
func ownHosts(a *Access) map[string]bool {
	hosts := map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	if host, _, err := net.SplitHostPort(a.Listen); err == nil && host != "" {
		hosts[strings.ToLower(host)] = true
		if !isLoopback(host) {
			if name, err := os.Hostname(); err == nil {
				hosts[strings.ToLower(name)] = true
			}
		}
	}
	for _, h := range a.Hosts {
		hosts[strings.ToLower(h)] = true
	}
	return hosts
}
