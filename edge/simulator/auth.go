package simulator

import (
	"crypto/subtle"
	"math/rand/v2"
	"strings"

	"thingbridge/edge/alwayson"
)

// authenticate serves an AUTH, the first or a later one. Whatever it says, the
// connection stays open: an edge may try again until AuthWait is over.
func (c *conn) authenticate(h alwayson.Header, b []byte) {
	p := c.p
	given, cut := claim(b)
	granted := p.keyMatches(given)
	if cut {
		// PTC's client announces the whole length of a long key but sends
		// three bytes less: what came must begin the key of the upgrade.
		granted = given != "" && strings.HasPrefix(c.headerKey, given) && len(c.headerKey)-len(given) <= 3 && p.keyMatches(c.headerKey)
	}
	reason := "the application key is not valid"
	code := alwayson.Unauthorized
	if fc, text, refused := p.faults.refusesAuth(); refused {
		granted, code, reason = false, fc, text
	}
	if !granted {
		p.stats.authRefused.Add(1)
		p.log.Info("edge refused", "connection", c.id, "remote", c.remote, "reason", reason)
		if c.session.Swap(0) != 0 {
			p.dropEndpoints(c, false)
			c.calls.revive()
			clear(c.byName)
		}
		c.reply(h, fail(code, "%s", reason))
		return
	}
	if c.session.Load() == 0 {
		c.session.Store(rand.Uint32N(alwayson.NoSession-1) + 1)
	}
	p.log.Info("edge authenticated", "connection", c.id, "remote", c.remote, "session", c.session.Load())
	c.reply(h, ok(alwayson.Value{}))
}

// claim reads the appKey claim of an AUTH. cut says that the message ended inside it.
func claim(b []byte) (value string, cut bool) {
	m, _, err := alwayson.Parse(b, alwayson.Limits{})
	auth, isAuth := m.Body.(*alwayson.Auth)
	if err != nil || !isAuth {
		return "", false
	}
	for i, cl := range auth.Claims {
		if strings.EqualFold(cl.Name, "appKey") {
			return cl.Value, auth.Cut && i == len(auth.Claims)-1
		}
	}
	return "", false
}

// keyMatches compares an application key without telling how much of it fits.
func (p *Platform) keyMatches(k string) bool {
	return p.opts.AppKey == "" || subtle.ConstantTimeCompare([]byte(k), []byte(p.opts.AppKey)) == 1
}
