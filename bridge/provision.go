package bridge

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
)

// Bounds of provisioning.
const (
	provisionWait    = 8 * time.Second // bound, and no subscriptions for so long: is there such a Thing?
	provisionAtATime = 8
	provisionTries   = 3 // of one step that was not answered
	provisionPause   = 5 * time.Second
)

// provisionPhase is how far a Thing is with being created.
type provisionPhase uint8

const (
	provisionNone      provisionPhase = iota
	provisionRunning                  // waits for its turn or is being created
	provisionDone                     // created; or it was there
	provisionForbidden                // the application key may not create Things
	provisionFailed                   // the platform would not
	provisionDeleted                  // created once more after somebody deleted it, and gone again
)

// provisionState is a Thing's. Bridge.mu guards it.
type provisionState struct {
	phase  provisionPhase
	again  bool // it was there, went away and was created once more
	reason string
}

func (p *provisionState) text() string {
	switch p.phase {
	case provisionRunning:
		return "being created"
	case provisionDone:
		return "done"
	case provisionForbidden:
		return "not permitted: " + p.reason
	case provisionFailed:
		return "failed: " + p.reason
	case provisionDeleted:
		return "deleted on the platform; create it there, or announce the device anew"
	}
	return ""
}

// provisioner creates Things that do not exist on the platform, where
// Options.Provision says so. It asks first: only a Thing that the platform says
// is not there is touched. Each step may be repeated without harm, and a step
// that the platform refuses because it is done already counts as done.
type provisioner struct {
	b *Bridge

	// mu guards the following.
	mu      sync.Mutex
	queue   []*thing
	running int
}

// Provisioning is how many Things are being created on the platform, or wait for it.
func (b *Bridge) Provisioning() int {
	p := b.prov
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) + p.running
}

func newProvisioner(b *Bridge) *provisioner { return &provisioner{b: b} }

// bound looks later whether a bound Thing was synchronised: a name with no
// Thing behind it binds as well.
func (p *provisioner) bound(t *thing) {
	b := p.b
	if !b.inForce().provision.Enabled {
		return
	}
	b.mu.Lock()
	session := b.platformSession
	b.mu.Unlock()
	b.timers.after(provisionWait, func() {
		b.mu.Lock()
		same := b.things[t.name] == t && b.platformUp && b.platformSession == session && t.state == alwayson.Bound
		b.mu.Unlock()
		b.sched.mu.Lock()
		same = same && !t.flow.subscribed
		b.sched.mu.Unlock()
		if same {
			p.missing(t)
		}
	})
}

// subscribed notes that the Thing exists.
func (p *provisioner) subscribed(t *thing) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if s := &t.provision; s.phase != provisionRunning {
		s.phase, s.reason = provisionDone, ""
	}
}

// announcedLocked lets a Thing that was given up be tried once more.
func (s *provisionState) announcedLocked() {
	if s.phase != provisionRunning {
		*s = provisionState{}
	}
}

// missing has a Thing created, if that was not tried yet.
func (p *provisioner) missing(t *thing) {
	b := p.b
	if !b.inForce().provision.Enabled {
		return
	}
	b.mu.Lock()
	s := &t.provision
	start := false
	switch {
	case s.phase == provisionNone:
		start = true
	case s.phase == provisionDone && !s.again:
		s.again, start = true, true
	case s.phase == provisionDone:
		s.phase = provisionDeleted
		t.problemLocked("provision", "deleted on the platform after it was created; it is not created again")
	}
	if start {
		s.phase = provisionRunning
	}
	b.mu.Unlock()
	if !start {
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, t)
	p.mu.Unlock()
	p.next()
}

// next starts as many of the waiting ones as may run at a time.
func (p *provisioner) next() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || p.running >= provisionAtATime {
			p.mu.Unlock()
			return
		}
		t := p.queue[0]
		p.queue = p.queue[1:]
		p.running++
		p.mu.Unlock()
		r := &provisionRun{p: p, t: t, steps: p.b.provisionSteps(t)}
		r.step()
	}
}

// provisionRun is one Thing's way through its steps.
type provisionRun struct {
	p       *provisioner
	t       *thing
	steps   []provisionStep
	tries   int
	missing bool // the platform says that there is no such Thing
	created bool
	refusal string // why CreateThing failed, if it did
}

func (r *provisionRun) step() {
	if len(r.steps) == 0 {
		r.end(provisionDone, "")
		return
	}
	r.p.b.platform.Start(alwayson.Post, r.steps[0].req, r.p.b.inForce().pushTimeout, r.answered)
}

func (r *provisionRun) answered(resp *alwayson.Response, err error) {
	s := &r.steps[0]
	switch {
	case errors.Is(err, alwayson.ErrNotConnected), errors.Is(err, alwayson.ErrConnectionLost):
		r.end(provisionNone, "")
		return
	case err != nil || resp.Code == alwayson.GatewayTimeout || resp.Code == alwayson.ServiceUnavailable:
		if r.tries++; r.tries < provisionTries {
			r.p.b.timers.after(provisionPause, r.step)
			return
		}
		if err == nil {
			err = errors.New(reasonOf(resp))
		}
	case !resp.Code.IsSuccess():
		err = errors.New(reasonOf(resp))
	}
	if err == nil && s.kind == stepAsk {
		r.end(provisionDone, "")
		return
	}
	if err != nil && r.failed(s, resp, err) {
		return
	}
	r.created = r.created || err == nil && s.kind == stepCreate
	if err != nil && s.instead != nil {
		r.steps[0] = *s.instead
	} else {
		r.steps = r.steps[1:]
	}
	r.tries = 0
	r.step()
}

func reasonOf(resp *alwayson.Response) string {
	if resp.Reason == "" {
		return resp.Code.String()
	}
	return resp.Reason
}

// failed judges a step that did not succeed; it reports whether that ends the run.
func (r *provisionRun) failed(s *provisionStep, resp *alwayson.Response, err error) bool {
	denied := resp != nil && (resp.Code == alwayson.Forbidden || resp.Code == alwayson.Unauthorized)
	switch s.kind {
	case stepAsk:
		if resp == nil || resp.Code != alwayson.NotFound {
			r.end(provisionNone, "")
			return true
		}
		r.missing = true
		r.p.b.markAbsent(r.t, err.Error())
	case stepCreate:
		if denied {
			r.end(provisionForbidden, err.Error())
			return true
		}
		r.refusal = err.Error()
	case stepEnable:
		if resp != nil && resp.Code == alwayson.NotFound && r.refusal != "" {
			r.end(provisionFailed, r.refusal)
			return true
		}
	case stepDefine:
		if s.instead == nil {
			r.p.b.trouble(r.t.name, "provision", fmt.Sprintf("%s: %v", s.what, err))
		}
	}
	return false
}

// end ends the run; the Thing is bound anew, so that the platform looks for it.
func (r *provisionRun) end(phase provisionPhase, reason string) {
	b := r.p.b
	b.mu.Lock()
	s := &r.t.provision
	s.phase, s.reason = phase, cut(reason)
	if phase == provisionDone && r.missing {
		r.t.rebind, r.t.absent = true, false
	}
	if reason != "" {
		r.t.problemLocked("provision", s.text())
	}
	b.mu.Unlock()
	b.recount(r.t)
	outcome := [...]string{provisionNone: "interrupted", provisionDone: "done", provisionForbidden: "forbidden", provisionFailed: "failed", provisionDeleted: "deleted"}[phase]
	b.metrics.provisions.WithLabelValues(outcome).Inc()
	switch {
	case phase == provisionDone && r.missing:
		b.log.Info("thing provisioned", "thing", r.t.name, "created", r.created)
		b.keeper.dirty(r.t.name)
	case phase == provisionForbidden, phase == provisionFailed:
		b.log.Warn("thing not provisioned", "thing", r.t.name, "state", s.text())
	}
	r.p.mu.Lock()
	r.p.running--
	r.p.mu.Unlock()
	r.p.next()
}
