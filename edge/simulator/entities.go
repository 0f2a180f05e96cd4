package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
)

// template is a ThingTemplate: a name and the template it extends.
type template struct {
	name, base string
}

// shape is a DataShape.
type shape struct {
	name, description string
	fields            []alwayson.FieldDefinition
}

// builtinTemplates are those that every platform has and an edge may meet,
// with the template that each extends.
var builtinTemplates = []template{
	{"GenericThing", ""},
	{"RemoteThing", "GenericThing"},
	{"RemoteThingWithFileTransfer", "RemoteThing"},
	{"RemoteThingWithTunnels", "RemoteThing"},
	{"RemoteThingWithTunnelsAndFileTransfer", "RemoteThing"},
	{"EMSGateway", "RemoteThing"},
	{"SDKGateway", "RemoteThing"},
	{"FileRepository", "GenericThing"},
	{"Stream", "GenericThing"},
	{"ValueStream", "GenericThing"},
	{"DataTable", "GenericThing"},
}

func (p *Platform) installBuiltins() {
	for _, t := range builtinTemplates {
		p.templates[key(t.name)] = &template{t.name, t.base}
	}
	repo := newThing("SystemRepository", "FileRepository", false, &p.opts)
	repo.builtin, repo.description = true, "the platform's own file repository"
	p.putLocked(repo)
}

// extendsLocked says whether a template is one of bases or extends one.
func (p *Platform) extendsLocked(name string, bases ...string) bool {
	for range 16 {
		if slices.ContainsFunc(bases, func(b string) bool { return strings.EqualFold(b, name) }) {
			return true
		}
		t := p.templates[key(name)]
		if t == nil || t.base == "" {
			return false
		}
		name = t.base
	}
	return false
}

// putLocked adds a Thing to the tables.
func (p *Platform) putLocked(t *thing) {
	p.things[key(t.name)] = t
	if t.identifier != "" {
		p.byID[key(t.identifier)] = t
	}
}

// lookup finds a Thing by its name or by "*" and its identifier; nil if there is none.
func (p *Platform) lookup(entity string) *thing {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.lookupLocked(entity)
}

func (p *Platform) lookupLocked(entity string) *thing {
	if id, yes := strings.CutPrefix(entity, "*"); yes {
		return p.byID[key(id)]
	}
	return p.things[key(entity)]
}

// createThing adds a Thing of a template, disabled.
func (p *Platform) createThing(name, description, templateName string) (*thing, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	tp := p.templates[key(templateName)]
	if tp == nil {
		return nil, fmt.Errorf("thing template [%s] does not exist", templateName)
	}
	if p.things[key(name)] != nil {
		return nil, fmt.Errorf("thing [%s] already exists", name)
	}
	t := newThing(name, tp.name, p.extendsLocked(tp.name, "RemoteThing"), &p.opts)
	t.description, t.enabled = description, false
	p.putLocked(t)
	return t, nil
}

// deleteThing removes a Thing; what is bound to it becomes unclaimed.
func (p *Platform) deleteThing(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.things[key(name)]
	if t == nil {
		return errNoEntity
	}
	if t.builtin {
		return fmt.Errorf("thing [%s] is a system object and cannot be deleted", t.name)
	}
	delete(p.things, key(name))
	t.mu.Lock()
	id := t.identifier
	t.mu.Unlock()
	if id != "" && p.byID[key(id)] == t {
		delete(p.byID, key(id))
	}
	if ep := t.claim.Swap(nil); ep != nil {
		ep.thing.Store(nil)
		ep.orphan = true
	}
	return nil
}

// setIdentifier changes a Thing's identifier, which releases its binding.
func (p *Platform) setIdentifier(t *thing, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.byID[key(id)]; id != "" && other != nil && other != t {
		return fmt.Errorf("identifier [%s] is in use by thing [%s]", id, other.name)
	}
	t.mu.Lock()
	old := t.identifier
	t.identifier = id
	t.mu.Unlock()
	if old != "" {
		delete(p.byID, key(old))
	}
	if id != "" {
		p.byID[key(id)] = t
	}
	if old == id {
		return nil
	}
	if ep := t.claim.Swap(nil); ep != nil {
		ep.thing.Store(nil)
	}
	return nil
}

var errNoEntity = errors.New("no such entity")

// checkName says why a name could be no entity's on a platform.
func checkName(name string) error {
	bad := func(why string) error { return fmt.Errorf("entity name [%s] %s", name, why) }
	switch {
	case name == "":
		return bad("is empty")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case utf8.RuneCountInString(name) > 255:
		return errors.New("entity name is longer than 255 characters")
	case strings.EqualFold(name, "me"):
		return bad("is reserved")
	case strings.ContainsAny(name, `+/:*"<>`):
		return bad(`holds one of + / : * " < >`)
	case strings.TrimSpace(name) != name, strings.Contains(name, "  "):
		return bad("has leading, trailing or double space")
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r >= 0x1F000 && r < 0x20000 }):
		return bad("holds a control character or an emoji")
	}
	return nil
}
