package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"thingbridge/mapping"
)

// platformPath is where a ThingWorx platform listens for edge clients.
const platformPath = "/Thingworx/WS"

func (l *loader) platformURL(text string, t TLS) {
	const path, example = "platform.url", "for example wss://twx.example.com/Thingworx/WS"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		l.fault(path, "is not a URL", example)
	case u.Scheme == "http" || u.Scheme == "https":
		l.fault(path, fmt.Sprintf("scheme %q is not that of a WebSocket", u.Scheme), strings.Replace(u.Scheme, "http", "ws", 1)+"://")
	case u.Scheme != "ws" && u.Scheme != "wss":
		l.fault(path, fmt.Sprintf("scheme %q is not known here", u.Scheme), "ws:// or wss://")
	case u.User != nil:
		l.fault(path, "has a user in it", "the application key in platform.app_key")
	case u.Hostname() == "" || !goodPort(u.Port()):
		l.fault(path, "has no host, or a port that is none", example)
	case u.RawQuery != "" || u.Fragment != "":
		l.fault(path, "has a query or fragment", example)
	case u.Path == "" || u.Path == "/":
		l.fault(path, "has no path", u.Scheme+"://"+u.Host+platformPath)
	case u.Scheme == "ws" && !isLoopback(u.Hostname()):
		l.caution(path, "is not encrypted: the application key and all values can be read on the way", "wss://")
	case u.Scheme == "ws" && !t.isDefault():
		l.caution("platform.tls", "is set, but platform.url is not wss://", "wss://")
	}
}

func goodPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 65536
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// proxy checks the proxy's URL without repeating it: a password may be in it.
func (l *loader) proxy(s Secret) {
	const path, example = "platform.proxy", "http://proxy.example.com:3128"
	text, err := s.Resolve()
	if err != nil {
		l.fault(path, err.Error(), "a file or variable that is there")
		return
	}
	if text == masked {
		l.fault(path, maskStands, maskWanted)
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !goodPort(u.Port()) {
		l.fault(path, "is not the URL of an HTTP proxy", example)
		return
	}
	if _, has := u.User.Password(); has && s.Literal() && len(s.files()) == 0 && l.source(path) == "" {
		if !strings.Contains(s.references(), "${env:") {
			l.caution(path, literalWarning, "the password as ${file:PATH} or ${env:NAME}")
		}
	}
}

// brokerSchemes are those of a broker's URL; mqtt, mqtts and tls are other names
// of tcp and ssl.
var brokerSchemes = []string{"tcp", "ssl", "ws", "wss", "unix", "mqtt", "mqtts", "tls"}

func (l *loader) brokers(m *MQTT) {
	const example = "for example ssl://broker.example.com:8883"
	seen := map[string]bool{}
	secure, plain := false, false
	for i, text := range m.Broker {
		path := "mqtt.broker"
		if len(m.Broker) > 1 || l.places["mqtt.broker[0]"] != nil {
			path = fmt.Sprintf("mqtt.broker[%d]", i)
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme == "":
			l.fault(path, "is not a URL", example)
			continue
		case !slices.Contains(brokerSchemes, u.Scheme):
			l.fault(path, fmt.Sprintf("scheme %q is not known here", u.Scheme), "tcp, ssl, ws, wss or unix")
			continue
		case u.User != nil:
			l.fault(path, "has a user in it", "mqtt.username and mqtt.password")
		case u.Scheme == "unix":
			if u.Host+u.Path == "" {
				l.fault(path, "has no path of a socket", "for example unix:///run/mosquitto.sock")
			}
		case u.Hostname() == "" || !goodPort(u.Port()):
			l.fault(path, "has no host, or a port that is none", example)
		}
		if seen[text] {
			l.fault(path, "is listed twice", "each broker once")
		}
		seen[text] = true
		if slices.Contains([]string{"ssl", "mqtts", "tls", "wss"}, u.Scheme) {
			secure = true
		} else if u.Scheme != "unix" && !isLoopback(u.Hostname()) {
			plain = true
		}
	}
	if plain && m.Password.IsSet() {
		l.caution("mqtt.broker", "is not encrypted: the password can be read on the way", "ssl:// or wss://")
	}
	if !secure && !m.TLS.isDefault() && !l.bad("mqtt.broker") {
		l.caution("mqtt.tls", "is set, but no broker is ssl:// or wss://", "ssl:// or wss://")
	}
}

// clientID checks the client id, which is also a level of the bridge's own topics.
func (l *loader) clientID(id string) {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune("/+#", r) || unicode.IsSpace(r) }
	switch {
	case !utf8.ValidString(id) || strings.ContainsFunc(id, odd):
		l.fault("mqtt.client_id", fmt.Sprintf("%q has a character that a topic level must not have", id), "no space, /, + or #")
	case len(id) > 200:
		l.fault("mqtt.client_id", "is longer than 200 bytes", "a short name")
	}
}

func (l *loader) thingName(path, name string) {
	switch made, err := mapping.ThingName(name); {
	case err != nil:
		l.fault(path, err.Error(), "a name that ThingWorx accepts")
	case made != name:
		l.fault(path, fmt.Sprintf("%q is not a name that ThingWorx accepts", name), fmt.Sprintf("for example %q", made))
	}
}

const literalWarning = "stands in the file itself, where everybody who can read the file sees it"

// secretValue resolves a secret once, so that a missing file or variable is
// found now, and looks at who can read it.
func (l *loader) secretValue(path string, s Secret) {
	if l.bad(path) {
		return
	}
	text, err := s.Resolve()
	switch {
	case err != nil:
		l.fault(path, err.Error(), "a file or variable that is there and not empty")
	case text == masked:
		l.fault(path, maskStands, maskWanted)
	case strings.ContainsFunc(text, unicode.IsControl):
		l.fault(path, "has a line break or another control character in it", "one line")
	case s.Literal() && len(s.files()) == 0 && l.source(path) == "" && !strings.Contains(s.references(), "${"):
		l.caution(path, literalWarning, "${file:PATH} or ${env:NAME}")
	}
	for _, file := range s.files() {
		l.permissions(path, file)
	}
}

// permissions warns of a secret's file that others can read or change.
func (l *loader) permissions(path, file string) {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		l.caution(path, fmt.Sprintf("%s can be changed by others than its owner (mode %04o)", file, mode), "mode 0600 or 0400")
	case mode&0o004 != 0:
		l.caution(path, fmt.Sprintf("%s can be read by every user of this machine (mode %04o)", file, mode), "mode 0600, 0400 or 0440")
	}
}

// configFile looks at the configuration file itself, once secrets stand in it.
func (l *loader) configFile(c *Config) {
	literal := slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Warning && p.Message == literalWarning })
	if c.File != "" && literal {
		l.permissions("", c.File)
	}
}
