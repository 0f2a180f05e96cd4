package edge

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// retryBudget is the most BINDs that one round of retries spends on telling
// refused names from good ones.
const retryBudget = 300

// binder closes the gap between the Things that should be bound and those that
// are, on one session, with one BIND or UNBIND in flight at a time. See doc.go
// for how a refused batch is taken apart.
type binder struct {
	t   *table
	s   *session
	opt *Options
	m   *metrics
	log *slog.Logger
	// stop ends the binder's work; what is in flight is not waited for.
	stop <-chan struct{}

	hopeless bool // the last split found both halves refused alike, and nothing was accepted since
	budget   int
}

// fewNames are taken apart at once when they are tried again: samples of so few
// tell nothing.
const fewNames = 8

// errStopped says that the binder was stopped before the answer.
var errStopped = errors.New("stopped")

// run works until stop is closed or the session ends.
func (b *binder) run() {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		next := b.round()
		wait := time.Hour
		if !next.IsZero() {
			wait = max(0, time.Until(next))
		}
		alarm.Reset(wait)
		select {
		case <-b.stop:
			return
		case <-b.s.done:
			return
		case <-b.t.kick:
		case <-alarm.C:
		}
	}
}

// round does all that is due and tells when more will be.
func (b *binder) round() time.Time {
	for {
		if b.ended() {
			return time.Time{}
		}
		if b.urgent() {
			continue
		}
		due, next := b.t.takeDue(time.Now(), b.opt.BindBackoff.Min/2)
		if len(due) == 0 {
			if !next.IsZero() && !next.After(time.Now()) {
				continue
			}
			return next
		}
		b.retry(due)
	}
}

func (b *binder) ended() bool {
	select {
	case <-b.stop:
		return true
	case <-b.s.done:
		return true
	default:
		return false
	}
}

// urgent sends one batch of UNBINDs, else one batch of first BINDs.
func (b *binder) urgent() bool {
	if gone := b.t.takeGone(b.opt.BindBatch, b.batchBytes()); len(gone) > 0 {
		b.unbind(gone)
		return true
	}
	fresh := b.t.takeFresh(b.opt.BindBatch, b.batchBytes())
	if len(fresh) > 0 {
		b.first(fresh)
	}
	return len(fresh) > 0
}

// batchBytes keeps a batch well under the largest message.
func (b *binder) batchBytes() int { return b.opt.MaxMessage / 2 }

// first binds Things that were not tried before. When all of a batch is refused
// alike the next ones are not taken apart either until a BIND is accepted.
func (b *binder) first(batch []*thing) {
	v := b.bind(batch)
	switch {
	case !v.refused():
		b.settle(batch, v)
	case len(batch) == 1 || b.hopeless:
		b.settle(batch, v)
	default:
		b.split(batch, v, false)
	}
}

// split takes a refused batch apart: it binds the halves, and goes on in a
// refused half only where the other one was accepted, or, with force, as long as
// the budget lasts.
func (b *binder) split(batch []*thing, v verdict, force bool) {
	if len(batch) == 1 || force && b.budget <= 0 {
		b.settle(batch, v)
		return
	}
	left, right := batch[:len(batch)/2], batch[len(batch)/2:]
	vl, vr := b.bind(left), b.bind(right)
	goOn := force || vl.accepted() || vr.accepted()
	b.hopeless = b.hopeless || !goOn
	b.splitOrSettle(left, vl, goOn, force)
	b.splitOrSettle(right, vr, goOn, force)
}

func (b *binder) splitOrSettle(batch []*thing, v verdict, goOn, force bool) {
	if v.refused() && goOn {
		b.split(batch, v, force)
		return
	}
	b.settle(batch, v)
}

// retry binds Things again that were refused, or whose BIND was not answered.
func (b *binder) retry(due []*thing) {
	b.budget, b.hopeless = retryBudget, false
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for len(due) > 0 {
		for !b.ended() && b.urgent() {
		}
		n := b.fit(due)
		batch := due[:n]
		due = due[n:]
		v := b.bind(batch)
		switch {
		case !v.refused(), len(batch) == 1, b.hopeless:
			b.settle(batch, v)
		default:
			b.probe(batch, v)
		}
	}
}

// probe looks for names that are accepted in a batch that is refused again. It
// binds halves, then ever smaller samples; the first that is accepted shows that
// the refusal is about single names, and the rest is taken apart.
func (b *binder) probe(batch []*thing, v verdict) {
	if len(batch) <= fewNames {
		b.split(batch, v, true)
		return
	}
	left, right := batch[:len(batch)/2], batch[len(batch)/2:]
	vl, vr := b.bind(left), b.bind(right)
	if !vl.refused() || !vr.refused() {
		b.splitOrSettle(left, vl, true, true)
		b.splitOrSettle(right, vr, true, true)
		return
	}
	at := 0
	for size := len(batch) / 4; ; size /= 4 {
		size = max(size, 1)
		sample := batch[at : at+size]
		if vs := b.bind(sample); !vs.refused() {
			b.settle(sample, vs)
			b.split(slices.Concat(batch[:at], batch[at+size:]), v, true)
			return
		}
		if at += size; size == 1 {
			break
		}
	}
	b.hopeless = true
	b.settle(batch, v)
}

// fit tells how many of the Things go into one BIND.
func (b *binder) fit(all []*thing) int {
	bytes := b.batchBytes()
	for n, th := range all {
		bytes -= len(th.name) + nameCost
		if n == b.opt.BindBatch || n > 0 && bytes < 0 {
			return n
		}
	}
	return len(all)
}

// verdict is what became of one BIND or UNBIND. The zero verdict is acceptance.
type verdict struct {
	code   alwayson.Code // of a refusal, else 0
	reason string        // the platform's text, for all names of the BIND; may be empty
	err    error         // no answer
}

func (v verdict) refused() bool  { return v.code != 0 }
func (v verdict) accepted() bool { return v.code == 0 && v.err == nil }

// judge makes a verdict of an answer.
func judge(h alwayson.Header, resp *alwayson.Response, err error) verdict {
	switch {
	case err != nil:
		return verdict{err: err}
	case h.Code.IsSuccess():
		return verdict{}
	}
	return verdict{code: h.Code, reason: cut(resp.Reason, mostSaid)}
}

// Bounds of what the platform says of a refusal, in bytes: it is looked through for
// every name of the BIND, and remembered for each.
const (
	mostSaid     = 128 << 10
	mostOfReason = 500
)

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// bind sends one BIND for those of the batch that are still wanted and waits for
// its answer. Acceptance takes effect before the next message is read.
func (b *binder) bind(batch []*thing) verdict {
	if b.ended() {
		return verdict{err: errStopped}
	}
	sent := b.t.binding(b.s, batch)
	if len(sent) == 0 {
		return verdict{}
	}
	b.budget--
	b.m.binds.Inc()
	recovered := 0
	v := b.exchange(alwayson.BindCode, sent, func(v verdict) {
		switch {
		case v.refused():
			b.m.bindRefusals.Inc()
			b.t.bindRefused(b.s, sent)
		case v.err == nil:
			recovered = b.t.bindAccepted(b.s, sent)
		}
	})
	if !v.accepted() {
		return v
	}
	b.hopeless = false
	if recovered > 0 {
		b.log.Info("bind accepted after failures", "things", recovered, "thing", sent[0].name)
	}
	return v
}

// unbind sends one UNBIND and waits for its answer.
func (b *binder) unbind(batch []*thing) {
	v := b.exchange(alwayson.Unbind, batch, func(v verdict) {
		if v.accepted() {
			b.t.unbound(b.s, batch)
		}
	})
	if v.accepted() || b.ended() {
		return
	}
	b.log.Warn("unbind failed, it will be repeated", "things", len(batch), "thing", batch[0].name, "error", v.text())
	b.t.repeatUnbind(batch, time.Now().Add(b.opt.BindBackoff.delay(1)))
}

func (v verdict) text() string {
	if v.err != nil {
		return v.err.Error()
	}
	return v.with(v.reason)
}

// with gives the code and what of the reason is told.
func (v verdict) with(reason string) string {
	if reason == "" {
		return v.code.String()
	}
	return v.code.String() + ": " + cut(reason, mostOfReason)
}

// exchange sends names and waits; settled runs on the session's goroutine that brings the answer.
func (b *binder) exchange(code alwayson.Code, batch []*thing, settled func(verdict)) verdict {
	body := &alwayson.Bind{Gateway: b.opt.Gateway, Names: make([]string, len(batch))}
	for i, th := range batch {
		body.Names[i] = th.name
	}
	got := make(chan verdict, 1)
	err := b.s.start(code, body, b.s.tuned().RequestTimeout, false, func(h alwayson.Header, resp *alwayson.Response, err error) {
		v := judge(h, resp, err)
		settled(v)
		got <- v
	})
	if err != nil {
		return verdict{err: err}
	}
	select {
	case v := <-got:
		return v
	case <-b.s.done:
		return verdict{err: alwayson.ErrConnectionLost}
	case <-b.stop:
		return verdict{err: errStopped}
	}
}

// settle concludes for Things that were not accepted: they wait for their next try.
func (b *binder) settle(batch []*thing, v verdict) {
	if b.ended() {
		return
	}
	if v.accepted() {
		return
	}
	state, reasons := alwayson.Unbound, []string(nil)
	if v.refused() {
		state, reasons = alwayson.Refused, reasonsOf(v.reason, batch)
	}
	news := b.t.conclude(b.s, batch, state, func(i int) string {
		if reasons == nil {
			return v.text()
		}
		return v.with(reasons[i])
	}, b.opt.BindBackoff)
	level := slog.LevelDebug
	if news > 0 {
		level = slog.LevelWarn
	}
	text := v.text()
	if reasons != nil {
		text = v.with(reasons[0])
	}
	b.log.Log(context.Background(), level, "bind failed", "things", len(batch), "thing", batch[0].name, "error", text)
}
