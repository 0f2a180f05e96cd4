package simulator

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// syncQueue synchronises the Things that a connection bound, a window of them
// at a time: an edge that answers slowly is not flooded after a BIND of thousands.
type syncQueue struct {
	c *conn

	mu       sync.Mutex // guards the following
	waiting  []*endpoint
	inFlight int
	pumping  bool
	closed   bool
}

// add queues an endpoint, once.
func (q *syncQueue) add(ep *endpoint) {
	if ep.queued.Swap(true) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.waiting = append(q.waiting, ep)
	}
}

// clear forgets what waits, for good.
func (q *syncQueue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.closed = nil, true
}

// pump starts what the window allows. Whoever pumps goes on until nothing more
// can be started, so that completions never nest.
func (q *syncQueue) pump() {
	q.mu.Lock()
	if q.pumping {
		q.mu.Unlock()
		return
	}
	q.pumping = true
	for len(q.waiting) > 0 && q.inFlight < syncWindow {
		ep := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.inFlight++
		q.mu.Unlock()
		ep.queued.Store(false)
		q.c.p.synchronise(ep, q.finished)
		q.mu.Lock()
	}
	q.pumping = false
	q.mu.Unlock()
}

func (q *syncQueue) finished() {
	q.mu.Lock()
	q.inFlight--
	q.mu.Unlock()
	q.pump()
}

// resync tells the edge that t's bindings changed, if it is bound.
func (p *Platform) resync(t *thing) {
	if ep := t.bound(); ep != nil {
		ep.c.sync.add(ep)
		ep.c.sync.pump()
	}
}

// synchronise brings a bound Thing and its edge together: the definitions of an
// invented Thing are fetched first, then the edge is told. done runs once.
func (p *Platform) synchronise(ep *endpoint, done func()) {
	t := ep.thing.Load()
	if t == nil {
		done()
		return
	}
	if !t.auto.Load() {
		p.announce(ep, t, done)
		return
	}
	req := alwayson.ServiceRequest(alwayson.EntityThing, ep.name, "GetMetadata", nil)
	ep.c.request(alwayson.Post, req, func(resp *alwayson.Response) {
		if resp.Code.IsSuccess() {
			p.learn(t, alwayson.Result(resp.Content, "result").Unwrap().Text())
		} else {
			p.log.Info("GetMetadata failed", "thing", t.name, "code", resp.Code.String(), "reason", resp.Reason)
		}
		t.asked.Store(true)
		p.announce(ep, t, done)
	})
}

// learn makes an invented Thing's definitions those of its metadata. A property
// that is no longer in it stays with its binding, as on a platform, where only a
// person takes a binding away.
func (p *Platform) learn(t *thing, text string) {
	m, err := alwayson.ParseMetadata([]byte(text))
	if err != nil {
		p.stats.badMetadata.Add(1)
		p.log.Warn("metadata refused", "thing", t.name, "error", err)
		return
	}
	fallbacks := metadataDefaults(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes.Equal(t.metadata, []byte(text)) {
		return
	}
	t.metadata = []byte(text)
	if m.Description != "" {
		t.description = m.Description
	}
	old, order := t.props, t.propOrder
	t.props, t.propOrder = map[string]*property{}, nil
	for _, def := range m.Properties {
		if alwayson.SystemProperty(def.Name) {
			p.log.Warn("a Thing has a property of that name already", "thing", t.name, "property", def.Name)
			continue
		}
		pr := &property{def: def, binding: &propertyBinding{
			edgeName: def.Name, push: def.Push, threshold: def.Threshold, cacheTime: -1, foldType: "NONE",
		}}
		if raw, ok := fallbacks[def.Name]; ok {
			pr.fallback, _ = restjson.Value(raw, def.FieldDefinition)
		}
		if was := old[def.Name]; was != nil {
			t.props[def.Name] = was
			t.propOrder = append(t.propOrder, def.Name)
		}
		t.addPropertyLocked(pr, &p.opts)
	}
	for _, name := range order {
		if t.props[name] == nil {
			t.props[name] = old[name]
			t.propOrder = append(t.propOrder, name)
		}
	}
	t.indexLocked()
	t.services, t.svcOrder = map[string]*service{}, nil
	for _, def := range m.Services {
		t.addServiceLocked(&service{def: def, remote: true, edgeName: def.Name})
	}
	t.events, t.eventOrder = map[string]*event{}, nil
	for _, def := range m.Events {
		t.addEventLocked(&event{def: def, remote: true})
	}
}

// metadataDefaults picks the properties' defaultValue aspects out of metadata.
func metadataDefaults(text string) map[string]json.RawMessage {
	var m struct {
		PropertyDefinitions map[string]struct {
			Aspects struct {
				DefaultValue json.RawMessage `json:"defaultValue"`
			} `json:"aspects"`
		} `json:"propertyDefinitions"`
	}
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	defaults := map[string]json.RawMessage{}
	for name, def := range m.PropertyDefinitions {
		if len(def.Aspects.DefaultValue) > 0 {
			defaults[name] = def.Aspects.DefaultValue
		}
	}
	return defaults
}

// announce sends NotifyPropertyUpdate, SynchronizeModelState or both.
func (p *Platform) announce(ep *endpoint, t *thing, done func()) {
	notify := func() {
		req := alwayson.ServiceRequest(alwayson.EntityThing, ep.name, "NotifyPropertyUpdate", nil)
		ep.c.request(alwayson.Post, req, func(resp *alwayson.Response) {
			if !resp.Code.IsSuccess() {
				p.log.Debug("NotifyPropertyUpdate failed", "thing", t.name, "code", resp.Code.String(), "reason", resp.Reason)
			}
			done()
		})
	}
	if p.opts.Sync == SyncOld {
		notify()
		return
	}
	params := alwayson.OneRow(
		alwayson.Named{Name: "propertyInfo", Value: alwayson.NewTable(t.propertyInfo())},
		alwayson.Named{Name: "eventInfo", Value: alwayson.NewTable(t.eventInfo())},
	)
	req := alwayson.ServiceRequest(alwayson.EntityThing, ep.name, "SynchronizeModelState", params)
	ep.c.request(alwayson.Post, req, func(resp *alwayson.Response) {
		if resp.Code.IsSuccess() {
			ep.open.Store(true)
			p.storeCurrent(t, resp.Content.Unwrap().Table())
			if p.opts.Sync == SyncNew {
				done()
				return
			}
		}
		notify()
	})
}

// storeCurrent keeps the current values that SynchronizeModelState answers.
func (p *Platform) storeCurrent(t *thing, values *alwayson.InfoTable) {
	if values == nil {
		return
	}
	p.store(t, nil, values, time.Now())
}

// propertyInfo is SynchronizeModelState's table of remotely bound properties.
func (t *thing) propertyInfo() *alwayson.InfoTable {
	table := &alwayson.InfoTable{Fields: []alwayson.Field{
		{Name: "edgeName", Type: alwayson.TypeString}, {Name: "pushType", Type: alwayson.TypeString},
		{Name: "pushThreshold", Type: alwayson.TypeNumber}, {Name: "startType", Type: alwayson.TypeString},
	}}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.propOrder {
		if b := t.props[name].binding; b != nil {
			start := b.startType
			if start == "" {
				start = "useDefaultValue"
			}
			table.Rows = append(table.Rows, []alwayson.Value{
				alwayson.NewString(b.edgeName), alwayson.NewString(b.push.String()),
				alwayson.NewNumber(b.threshold), alwayson.NewString(start),
			})
		}
	}
	return table
}

// eventInfo is SynchronizeModelState's table of remote events.
func (t *thing) eventInfo() *alwayson.InfoTable {
	table := &alwayson.InfoTable{Fields: []alwayson.Field{{Name: "edgeName", Type: alwayson.TypeString}}}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.eventOrder {
		if t.events[name].remote {
			table.Rows = append(table.Rows, []alwayson.Value{alwayson.NewString(name)})
		}
	}
	return table
}
