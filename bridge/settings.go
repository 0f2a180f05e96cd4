package bridge

import "time"

// settings are those Options that Reload changes, ready for use. They are never
// changed: Reload puts others in their place.
type settings struct {
	limits           Limits
	things, services permission
	upward           globs
	provision        Provision
	defaultTimeout   time.Duration
	pushTimeout      time.Duration
	watchdog         time.Duration
}

// newSettings takes them from options whose defaults are set.
func newSettings(opt *Options) *settings {
	return &settings{
		limits:         opt.Limits,
		things:         permission{newGlobs(opt.AllowThings, true), newGlobs(opt.DenyThings, true)},
		services:       permission{newGlobs(opt.AllowServices, false), newGlobs(opt.DenyServices, false)},
		upward:         newGlobs(opt.AllowPlatform, false),
		provision:      opt.Provision,
		defaultTimeout: opt.DefaultTimeout,
		pushTimeout:    opt.PushTimeout,
		watchdog:       opt.Watchdog,
	}
}

// inForce are the settings that count now.
func (b *Bridge) inForce() *settings { return b.stands.Load() }
