package edgethings

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
)

// Where an agent says nothing of it.
const (
	defaultHost      = "127.0.0.1"
	defaultPath      = "/scripts/Thingworx" // a Lua Script Resource's
	defaultKeepalive = time.Minute
	defaultTimeout   = 15 * time.Second
)

// Bounds of what an agent may ask for; beyond them the bound counts.
const (
	minKeepalive = time.Second
	maxKeepalive = time.Hour
	minTimeout   = time.Second
	maxTimeout   = 25 * time.Second // the platform gives up at 30 s
	maxText      = 255              // characters of a name, bytes of a path, user or password
)

// registration is what an agent says of itself. It is never changed.
type registration struct {
	Name      string        `json:"name"` // a leading * makes it an identifier
	Host      string        `json:"host,omitempty"`
	Port      int           `json:"port,omitempty"` // 0: it cannot be called
	Proto     string        `json:"proto,omitempty"`
	Path      string        `json:"path,omitempty"` // begins with /, ends without
	Keepalive time.Duration `json:"keepalive"`
	Timeout   time.Duration `json:"timeout"`
	User      string        `json:"user,omitempty"`
	Password  secret        `json:"password,omitempty"`
	Persist   bool          `json:"persist,omitempty"`
	Passing   bool          `json:"passing,omitempty"` // persist was false in words: it is not kept
}

// secret is a text that no log and no answer shows.
type secret string

func (secret) String() string     { return "<secret>" }
func (s secret) GoString() string { return s.String() }

// address is where the agent listens, for people.
func (r *registration) address() string {
	if r.Port == 0 {
		return ""
	}
	host := strings.Replace(r.Host, "%", "%25", 1) // before the zone of an address
	return r.Proto + "://" + net.JoinHostPort(host, strconv.Itoa(r.Port)) + r.Path
}

// url gives the address of a part of the Thing. The star of an identifier
// stays as it is, since agents compare it so.
func (r *registration) url(parts ...string) string {
	var b strings.Builder
	b.WriteString(r.address())
	for _, p := range append([]string{"Things", r.Name}, parts...) {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(url.PathEscape(p), "%2A", "*"))
	}
	return b.String()
}

// params reads the inputs of a service of LocalEms, in whatever type they came.
type params struct {
	row map[string]alwayson.Value
	bad string // the first problem
}

func newParams(table *alwayson.InfoTable) *params {
	p := &params{row: map[string]alwayson.Value{}}
	if table == nil || len(table.Rows) == 0 {
		return p
	}
	for i, f := range table.Fields {
		if v := table.At(0, i).Unwrap(); !v.IsNothing() {
			p.row[strings.ToLower(f.Name)] = v
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.bad == "" {
		p.bad = cut(fmt.Sprintf(format, args...))
	}
}

// text reads a text. Of one that is too long it gives the begin, for people: what is
// refused is remembered for a while.
func (p *params) text(name string) string {
	v := p.row[name]
	s := v.Text()
	if s == "" && v.Type() == alwayson.TypeNumber {
		s = strconv.FormatFloat(v.Number(), 'f', -1, 64)
	}
	switch {
	case !v.IsNothing() && s == "" && !v.Type().IsText():
		p.fail("%s is of type %s; a text is expected", name, v.Type())
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		p.fail("%s has a control character in it, or is not UTF-8", name)
	case utf8.RuneCountInString(s) > maxText:
		p.fail("%s is longer than %d characters", name, maxText)
		s = cut(s)
	}
	return s
}

// number reads a whole number, also from text; absent is 0.
func (p *params) number(name string, low, high float64) float64 {
	v := p.row[name]
	n := v.Number()
	if v.IsNothing() || v.Type().IsText() && v.Text() == "" {
		return 0
	}
	if v.Type().IsText() {
		var err error
		if n, err = strconv.ParseFloat(strings.TrimSpace(v.Text()), 64); err != nil {
			p.fail("%s is %q; a number is expected", name, v.Text())
			return 0
		}
	}
	if !(n >= low && n <= high) || n != float64(int64(n)) {
		p.fail("%s is %v; a whole number from %v to %v is expected", name, n, low, high)
		return 0
	}
	return n
}

// duration reads milliseconds; absent, 0 and less mean d.
func (p *params) duration(name string, d, low, high time.Duration) time.Duration {
	const week = 7 * 24 * 3600 * 1000
	ms := p.number(name, -1, week)
	if ms <= 0 {
		return d
	}
	return min(max(time.Duration(ms)*time.Millisecond, low), high)
}

// flag reads a BOOLEAN, also from text; there says whether it was given.
func (p *params) flag(name string) (value, there bool) {
	switch v := p.row[name]; {
	case v.IsNothing():
		return false, false
	case v.Type() == alwayson.TypeBoolean:
		return v.Bool(), true
	case strings.EqualFold(v.Text(), "true"):
		return true, true
	case strings.EqualFold(v.Text(), "false"):
		return false, true
	default:
		p.fail("%s is neither true nor false", name)
		return false, false
	}
}

// name reads the name of a Thing.
func (p *params) name() string {
	name := p.text("name")
	if strings.TrimPrefix(name, "*") == "" {
		p.fail("name is missing; expected the Thing's name, or * and its identifier")
	}
	return name
}

// registration reads the inputs of AddEdgeThing.
func (p *params) registration() *registration {
	r := &registration{
		Name: p.name(), Host: p.text("host"), Proto: strings.ToLower(p.text("proto")), Path: p.text("path"),
		Keepalive: p.duration("keepalive", defaultKeepalive, minKeepalive, maxKeepalive),
		Timeout:   p.duration("timeout", defaultTimeout, minTimeout, maxTimeout),
		Port:      int(p.number("port", 0, 65535)),
		User:      p.text("user"), Password: secret(p.text("password")),
	}
	persist, said := p.flag("persist")
	r.Persist, r.Passing = persist, said && !persist
	if r.Proto == "" {
		r.Proto = p.protocol()
	}
	if r.Port == 0 {
		r.Host, r.Proto, r.Path = "", "", ""
		return r
	}
	p.where(r)
	return r
}

// protocol is the other name that a configuration of the Edge MicroServer has for proto.
func (p *params) protocol() string {
	if s := strings.ToLower(p.text("protocol")); s != "" {
		return s
	}
	return "http"
}

// where checks and completes the agent's address.
func (p *params) where(r *registration) {
	if r.Host == "" || unspecified(r.Host) {
		r.Host = defaultHost
	}
	if _, ok := p.row["path"]; !ok {
		r.Path = defaultPath
	}
	r.Path = strings.TrimRight(r.Path, "/")
	_, zone, _ := strings.Cut(r.Host, "%")
	switch {
	case strings.ContainsFunc(zone, noZone):
		p.fail("host is %q; expected a zone of letters, digits and . - _ after the %%", r.Host)
	case r.Proto != "http" && r.Proto != "https":
		p.fail("proto is %q; expected http or https", r.Proto)
	case r.Path != "" && !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#\\ %"):
		p.fail("path is %q; expected a path like %s, without ? # %% and space", r.Path, defaultPath)
	case strings.Contains(r.User, ":"):
		p.fail("user has a colon in it, which HTTP's log-in cannot carry")
	}
}

// noZone reports whether c is none of what the name of a network interface is made of.
func noZone(c rune) bool {
	return c != '.' && c != '-' && c != '_' && (c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c))
}
