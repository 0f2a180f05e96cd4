package mqttbus

import (
	"context"
	"math/rand/v2"
	"time"
)

// wait gives the time before attempt number failures+1: between half and all
// of Min, doubled for each failure beyond the first, up to Max.
func (b Backoff) wait(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	d := b.Max
	if shift := failures - 1; shift < 32 && b.Min<<shift>>shift == b.Min && b.Min<<shift < b.Max {
		d = b.Min << shift
	}
	if d <= 1 {
		return d
	}
	return d/2 + rand.N(d/2)
}

// pause waits for d, until ctx ends, or until a new session is wanted; then
// again is true.
func (b *Bus) pause(ctx context.Context, d time.Duration) (again bool, err error) {
	if d <= 0 {
		return false, ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-b.renewal:
		return true, nil
	case <-t.C:
		return false, nil
	}
}
