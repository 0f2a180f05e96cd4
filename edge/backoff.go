package edge

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff is one class of waiting before the next attempt: Min after the first
// failure, Factor times more after each further one, never over Max, and each
// time longer or shorter by a random part of up to Jitter (0.3 is 30 %).
type Backoff struct {
	Min, Max time.Duration
	Factor   float64
	Jitter   float64
}

func (b Backoff) orElse(d Backoff) Backoff {
	if b.Min <= 0 {
		b.Min = d.Min
	}
	if b.Max <= 0 {
		b.Max = d.Max
	}
	b.Max = max(b.Max, b.Min)
	if b.Factor < 1 {
		b.Factor = d.Factor
	}
	if b.Jitter <= 0 || b.Jitter > 1 {
		b.Jitter = d.Jitter
	}
	return b
}

// delay is the wait after the n-th failure in a row, n from 1.
func (b Backoff) delay(n int) time.Duration {
	d := float64(b.Min) * math.Pow(b.Factor, float64(min(max(n, 1), 64)-1))
	d = min(d, float64(b.Max))
	return time.Duration(d * (1 + b.Jitter*(2*rand.Float64()-1)))
}
