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
	claim, cut := c.claim(b)
	granted := p.keyMatches(claim)
	if cut {
		// PTC's client announces the whole length of a long key but sends
		// three bytes less: what came must begin the key of the upgrade.
		granted = claim != "" && strings.HasPrefix(c.headerKey, claim) && len(c.headerKey)-len(claim) <= 3 && p.keyMatches(c.headerKey)
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
func (c *conn) claim(b []byte) (value string, cut bool) {
	m, _, err := alwayson.Parse(b, alwayson.Limits{})
	if auth, isAuth := m.Body.(*alwayson.Auth); err == nil && isAuth {
		for _, cl := range auth.Claims {
			if strings.EqualFold(cl.Name, "appKey") {
				return cl.Value, false
			}
		}
		return "", false
	}
	return cutClaim(b[headerSize:])
}

// cutClaim reads an AUTH body of one claim whose value ends before its length.
func cutClaim(b []byte) (value string, cut bool) {
	if len(b) < 1 || b[0] != 1 {
		return "", false
	}
	name, rest, whole := cutText(b[1:])
	if !whole || !strings.EqualFold(name, "appKey") {
		return "", false
	}
	value, _, whole = cutText(rest)
	return value, !whole
}

// cutText reads a string, or what is there of it.
func cutText(b []byte) (s string, rest []byte, whole bool) {
	if len(b) == 0 {
		return "", nil, false
	}
	n, head := int(b[0]), 1
	if b[0] >= 0x80 {
		if len(b) < 4 {
			return "", nil, false
		}
		n, head = int(b[0]&0x7f)<<24|int(b[1])<<16|int(b[2])<<8|int(b[3]), 4
	}
	b = b[head:]
	if n > len(b) {
		return string(b), nil, false
	}
	return string(b[:n]), b[n:], true
}

// keyMatches compares an application key without telling how much of it fits.
func (p *Platform) keyMatches(k string) bool {
	return p.opts.AppKey == "" || subtle.ConstantTimeCompare([]byte(k), []byte(p.opts.AppKey)) == 1
}
