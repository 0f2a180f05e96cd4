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

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
