package simulator

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// endpoint is one name bound on one connection, claimed by a Thing or not.
type endpoint struct {
	c      *conn
	name   string                // as the edge spells it, "*" and all
	thing  atomic.Pointer[thing] // nil: unclaimed; written under Platform.mu
	open   atomic.Bool           // the edge asked for the subscriptions, or answered SynchronizeModelState
	queued atomic.Bool           // waits in the connection's syncQueue
	orphan bool                  // there was no Thing when it was bound, or it was deleted since; Platform.mu guards it
}

// key folds a bound name, an entity name or an identifier for comparison.
func key(name string) string { return strings.ToLower(name) }

// errBound and its like are why a name is refused.
var errBound = errors.New("is bound by another connection")

// bind serves a BIND. The answer goes out before anything that follows from it.
func (c *conn) bind(h alwayson.Header, b *alwayson.Bind) {
	p := c.p
	p.stats.binds.Add(1)
	if code, reason, refused := p.faults.refusesBind(b.Names); refused {
		p.stats.bindsRefused.Add(1)
		c.reply(h, fail(code, "%s", reason))
		return
	}
	eps, errs := c.take(b)
	if len(errs) > 0 {
		p.stats.bindsRefused.Add(1)
		reason := errors.Join(errs[:min(len(errs), 5)]...).Error()
		reason = strings.ReplaceAll(reason, "\n", "; ")
		if len(errs) > 5 {
			reason += fmt.Sprintf("; and %d more", len(errs)-5)
		}
		p.log.Info("bind refused", "connection", c.id, "names", len(b.Names), "refused", len(errs), "reason", reason)
		c.reply(h, fail(alwayson.Forbidden, "%s", reason))
	} else {
		p.log.Debug("bound", "connection", c.id, "names", len(b.Names))
		c.reply(h, ok(alwayson.Value{}))
	}
	for _, ep := range eps {
		c.byName[ep.name] = ep
		c.sync.add(ep)
	}
	c.sync.pump()
}

// take binds the names of b that can be bound, or none, as BindRefusal has it.
func (c *conn) take(b *alwayson.Bind) (eps []*endpoint, errs []error) {
	p := c.p
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := c.gatewayLocked(b.Gateway, now); err != nil {
		return nil, []error{err}
	}
	good := make([]string, 0, len(b.Names))
	for _, name := range b.Names {
		if err := c.refusalLocked(name); err != nil {
			errs = append(errs, fmt.Errorf("%q %w", name, err))
			continue
		}
		good = append(good, name)
	}
	if len(errs) > 0 && p.opts.BindRefusal == RefuseWhole {
		return nil, errs
	}
	for _, name := range good {
		k := key(name)
		ep := c.endpoints[k]
		if ep == nil {
			ep = &endpoint{c: c, name: name}
			c.endpoints[k] = ep
			p.endpoints[k] = ep
		}
		p.claimLocked(ep, now)
		ep.orphan = p.lookupLocked(ep.name) == nil
		eps = append(eps, ep)
	}
	return eps, errs
}

// refusalLocked says why name cannot be bound on c.
func (c *conn) refusalLocked(name string) error {
	if strings.TrimPrefix(name, "*") == "" {
		return errors.New("is empty")
	}
	if other := c.p.endpoints[key(name)]; other != nil && other.c != c {
		return errBound
	}
	if t := c.p.things[key(name)]; t != nil && !strings.HasPrefix(name, "*") {
		t.mu.Lock()
		id := t.identifier
		t.mu.Unlock()
		if id != "" {
			return fmt.Errorf("has the identifier %q: bind it as %q", id, "*"+id)
		}
		// The same Thing bound by its identifier elsewhere.
		if ep := t.bound(); ep != nil && ep.c != c {
			return errBound
		}
	}
	return nil
}

// gatewayLocked makes the gateway of a BIND visible as a Thing.
func (c *conn) gatewayLocked(g *alwayson.Gateway, now time.Time) error {
	if g == nil || g.Name == "" {
		return nil
	}
	p := c.p
	t := p.things[key(g.Name)]
	if t == nil {
		if p.opts.Strict && !p.extendsLocked(g.Type, "EMSGateway", "SDKGateway") {
			return fmt.Errorf("gateway %q: type %q is neither EMSGateway nor a template that extends SDKGateway", g.Name, g.Type)
		}
		if err := checkName(g.Name); err != nil {
			return fmt.Errorf("gateway %q: %w", g.Name, err)
		}
		t = newThing(g.Name, g.Type, true, &p.opts)
		p.putLocked(t)
	}
	if !strings.EqualFold(t.template, g.Type) {
		return fmt.Errorf("gateway %q is a %s, not a %s", g.Name, t.template, g.Type)
	}
	if ep := p.endpoints[key(g.Name)]; ep != nil && ep.c != c {
		return fmt.Errorf("gateway %q %w", g.Name, errBound)
	}
	if c.endpoints[key(g.Name)] == nil {
		ep := &endpoint{c: c, name: g.Name}
		c.endpoints[key(g.Name)], p.endpoints[key(g.Name)] = ep, ep
		p.claimLocked(ep, now)
	}
	c.gateway = &alwayson.Gateway{Name: g.Name, Type: g.Type}
	return nil
}

// claimLocked gives the endpoint to the Thing it names; where there is none it
// is made, unless the platform is strict.
func (p *Platform) claimLocked(ep *endpoint, now time.Time) {
	t := p.lookupLocked(ep.name)
	if t == nil && !p.opts.Strict && ep.thing.Load() == nil {
		t = p.inventLocked(ep.name)
	}
	if t == nil || !t.remote {
		return
	}
	t.mu.Lock()
	enabled := t.enabled
	if enabled {
		t.lastConn = now
	}
	t.mu.Unlock()
	if !enabled {
		return
	}
	ep.thing.Store(t)
	t.claim.Store(ep)
}

// inventLocked makes a RemoteThing for a bound name that nothing has; nil where
// the name could be no Thing's.
func (p *Platform) inventLocked(bound string) *thing {
	name, byIdentifier := strings.CutPrefix(bound, "*")
	if checkName(name) != nil || p.things[key(name)] != nil {
		return nil
	}
	t := newThing(name, "RemoteThing", true, &p.opts)
	t.auto.Store(true)
	if byIdentifier {
		t.identifier = name
	}
	p.putLocked(t)
	return t
}

// unbind serves an UNBIND. A name that is not bound is no error.
func (c *conn) unbind(h alwayson.Header, b *alwayson.Bind) {
	p := c.p
	p.stats.unbinds.Add(1)
	p.mu.Lock()
	for _, name := range b.Names {
		if ep := c.endpoints[key(name)]; ep != nil {
			p.releaseLocked(ep)
		}
	}
	if b.Gateway != nil && c.onlyGatewayLocked() {
		p.releaseLocked(c.endpoints[key(c.gateway.Name)])
	}
	p.mu.Unlock()
	for _, name := range b.Names {
		delete(c.byName, name)
	}
	c.reply(h, ok(alwayson.Value{}))
}

// onlyGatewayLocked says that nothing but the gateway's own Thing is bound.
func (c *conn) onlyGatewayLocked() bool {
	return c.gateway != nil && len(c.endpoints) == 1 && c.endpoints[key(c.gateway.Name)] != nil
}

// releaseLocked ends a binding.
func (p *Platform) releaseLocked(ep *endpoint) {
	k := key(ep.name)
	delete(ep.c.endpoints, k)
	if p.endpoints[k] == ep {
		delete(p.endpoints, k)
	}
	if t := ep.thing.Load(); t != nil {
		t.claim.CompareAndSwap(ep, nil)
		ep.thing.Store(nil)
	}
}

// dropEndpoints ends all bindings and calls of a connection: at once, or after
// HoldDead when it died without CLOSE. Until then nobody knows that it is dead:
// its names stay bound and calls run into their time-out.
func (p *Platform) dropEndpoints(c *conn, died bool) {
	release := func() {
		p.mu.Lock()
		for _, ep := range c.endpoints {
			p.releaseLocked(ep)
		}
		delete(p.held, c)
		p.mu.Unlock()
		c.calls.abandon()
	}
	p.mu.Lock()
	hold := died && p.opts.HoldDead > 0 && len(c.endpoints) > 0 && !p.closing
	if hold {
		p.held[c] = time.AfterFunc(p.opts.HoldDead, release)
	}
	p.mu.Unlock()
	if !hold {
		release()
	}
}

// reclaim looks for bound names that t may claim now, and synchronises it anew. A
// name that was bound before t was made is not t's until it is bound again.
func (p *Platform) reclaim(t *thing) {
	t.mu.Lock()
	names := []string{t.name}
	if t.identifier != "" {
		names[0] = "*" + t.identifier
	}
	t.mu.Unlock()
	p.mu.Lock()
	ep := p.endpoints[key(names[0])]
	if ep != nil && ep.thing.Load() == nil && !ep.orphan {
		p.claimLocked(ep, time.Now())
	}
	p.mu.Unlock()
	p.resync(t)
}
