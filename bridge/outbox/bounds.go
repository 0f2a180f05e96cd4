package outbox

import "time"

// Bounds are those Options that may change while an outbox is in use. A zero
// field means what it means in Options.
type Bounds struct {
	MaxBytes int64
	MaxAge   time.Duration
	HoldMax  int // Memory only
}

func (c *core) bound(b Bounds) {
	c.opt.MaxBytes, c.opt.MaxAge, c.opt.HoldMax = max(b.MaxBytes, 0), max(b.MaxAge, 0), max(b.HoldMax, 0)
	if c.opt.MaxBytes == 0 {
		c.opt.MaxBytes = DefaultMaxBytes
	}
	if c.opt.HoldMax == 0 {
		c.opt.HoldMax = DefaultHoldMax
	}
}

// SetBounds changes the bounds at once: what is over them is dropped and counted.
func (d *Disk) SetBounds(b Bounds) {
	var dropped drops
	d.mu.Lock()
	if !d.closed {
		d.bound(b)
		d.trim(&dropped, d.removedLocked)
		if d.opt.MaxAge > 0 {
			d.expire(time.Now(), &dropped, d.removedLocked)
		}
		stopTimer(d.expiring)
		d.expiring = nil
		d.armExpiryLocked()
		d.startLocked()
	}
	d.mu.Unlock()
	dropped.report(d.opt.OnDrop)
}

// SetBounds changes the bounds at once: what is over them is dropped and counted,
// or acknowledged where too much is held.
func (m *Memory) SetBounds(b Bounds) {
	var dropped drops
	var release []func(error)
	m.mu.Lock()
	if !m.closed {
		m.bound(b)
		m.trim(&dropped, m.removing(&release))
		if m.opt.MaxAge > 0 {
			m.expire(time.Now(), &dropped, m.removing(&release))
		}
		for m.holding > m.opt.HoldMax {
			m.releaseOldestLocked(&release)
		}
		stopTimer(m.expirer)
		m.expirer = nil
		m.armLocked()
	}
	m.mu.Unlock()
	callAll(release)
	dropped.report(m.opt.OnDrop)
}
