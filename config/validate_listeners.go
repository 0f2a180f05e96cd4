package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"thingbridge/bridge/permit"
)

// listener is what the console and the REST side have in common.
type listener struct {
	section, example string
	listen           string
	token, password  Secret
	username         string
}

func (l *loader) console(c *Console) {
	l.listener(listener{"console", "127.0.0.1:8480", c.Listen, c.Token, c.Password, c.Username})
	for i, host := range c.Hosts {
		if !isHost(host) {
			l.fault(fmt.Sprintf("console.hosts[%d]", i), fmt.Sprintf("%q is no host name", host), "a name or an address without scheme and port, for example bridge.example.com")
		}
	}
}

// isHost reports a name or an address, as the Host header has it without its port.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	other := func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	return s != "" && !strings.ContainsFunc(s, other)
}

// listener checks who can reach a listener and who has to log in.
func (l *loader) listener(o listener) {
	key := func(name string) string { return o.section + "." + name }
	if o.token.IsSet() {
		l.secretValue(key("token"), o.token)
	}
	if o.password.IsSet() {
		l.secretValue(key("password"), o.password)
	}
	switch {
	case o.username != "" && !o.password.IsSet():
		l.fault(key("username"), "is set without "+key("password"), "both")
	case o.username == "" && o.password.IsSet():
		l.fault(key("password"), "is set without "+key("username"), "both")
	}
	if o.listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(o.listen)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
		l.fault(key("listen"), fmt.Sprintf("%q is not host:port", o.listen), "for example "+o.example+", or nothing for no listener")
		return
	}
	if !isLoopback(host) && !o.token.IsSet() && !o.password.IsSet() {
		l.fault(key("listen"), fmt.Sprintf("%q can be reached from other machines and nobody has to log in", o.listen),
			key("token")+", or "+key("username")+" and "+key("password")+", or a loopback address")
	}
}

func (l *loader) rest(c *Config) {
	r := &c.REST
	l.listener(listener{"rest", "127.0.0.1:8000", r.Listen, r.Token, r.Password, r.Username})
	l.ownSecret(c, "rest.token", r.Token)
	l.ownSecret(c, "rest.password", r.Password)
	word(l, "rest.tls.min_version", r.TLS.MinVersion, TLS12, TLS13)
	l.pair("rest.tls", r.TLS.Cert, r.TLS.Key)
	for i, text := range r.Allow {
		if _, err := permit.ParseRule(text); err != nil {
			l.fault(fmt.Sprintf("rest.allow[%d]", i), err.Error(), permit.RuleForm)
		}
	}
	l.edgeThings(r)
	if r.Listen == "" {
		return
	}
	if len(r.Allow) == 0 && !r.EdgeThings.Enabled && !l.bad("rest.allow") {
		l.caution("rest.allow", "is empty: every request is answered 403", "what may be used, for example Things/pump-*/Services/*")
	}
	host, port, err := net.SplitHostPort(r.Listen)
	if err == nil && !isLoopback(host) && !r.TLS.IsSet() {
		l.caution("rest.listen", "is not encrypted: the log-in and all values can be read on the way", "rest.tls.cert and rest.tls.key")
	}
	if r.Listen == c.Console.Listen && port != "0" {
		l.fault("rest.listen", fmt.Sprintf("%q is console.listen too", r.Listen), "an address of its own")
	}
}

func (l *loader) edgeThings(r *REST) {
	e := &r.EdgeThings
	for i, host := range e.Hosts {
		if _, err := permit.ParseHosts([]string{host}); err != nil {
			l.fault(fmt.Sprintf("rest.edge_things.hosts[%d]", i), err.Error(), "for example localhost, plc-gateway.example.com or 10.1.2.0/24")
		} else if prefix, err := netip.ParsePrefix(host); err == nil && prefix.Bits() == 0 {
			l.caution(fmt.Sprintf("rest.edge_things.hosts[%d]", i), host+" is every machine: whoever may register can have the bridge call any", "the agents' own machines")
		}
	}
	within(l, "rest.edge_things.max", e.Max, 1, 10_000)
	l.tls("rest.edge_things.tls", e.TLS)
	if e.Enabled && r.Listen == "" && !l.bad("rest.listen") {
		l.fault("rest.edge_things.enabled", "is true, but there is no rest.listen to register at", "rest.listen, for example 127.0.0.1:8000")
	}
}

// ownSecret refuses the application key as a log-in of callers, who then would have it.
func (l *loader) ownSecret(c *Config, path string, s Secret) {
	if !s.IsSet() || !c.Platform.AppKey.IsSet() || l.bad(path) {
		return
	}
	given, err := s.Resolve()
	key, keyErr := c.Platform.AppKey.Resolve()
	if err == nil && keyErr == nil && given == key {
		l.fault(path, "is the application key, which must not leave the bridge", "a secret of its own")
	}
}
