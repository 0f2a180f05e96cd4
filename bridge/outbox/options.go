package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Policy says what goes when the outbox is full.
type Policy string

// Policies.
const (
	// DropOldest drops the oldest record of all Things; while one Thing holds more
	// than one and a half times its share of the bytes, its oldest one.
	DropOldest Policy = "drop-oldest"
	// Fold drops, oldest first, the records that a newer one of the same Thing
	// and Key has replaced; only when there is none left, as DropOldest does.
	Fold Policy = "fold"
)

// Reasons for which records are dropped; OnDrop and the metrics use them.
const (
	ReasonFull    = "full"    // crowded out by newer records
	ReasonExpired = "expired" // older than MaxAge
	ReasonFolded  = "folded"  // replaced by a newer record of the same Thing and Key
)

// Defaults of Options.
const (
	DefaultMaxBytes   = 512 << 20
	DefaultCacheBytes = 32 << 20
	DefaultHoldMax    = 10_000
)

// Errors that kept and the other methods give.
var (
	// ErrClosed says that the outbox is closed.
	ErrClosed = errors.New("outbox is closed")
	// ErrBacklogged says that so much waits for a disk that does not write that
	// no more is taken. The message must stay unacknowledged.
	ErrBacklogged = errors.New("outbox: the disk does not write and too much waits for it already")
)

// Options sets up an outbox. The zero value is usable.
type Options struct {
	// MaxBytes bounds what is kept, as Depth counts it: the data, the names and
	// 64 bytes for each record. 0: DefaultMaxBytes.
	MaxBytes int64
	// MaxAge drops what is older than this, within a tenth of it. 0: no limit.
	MaxAge time.Duration
	// WhenFull says what goes when MaxBytes is reached. "": DropOldest.
	WhenFull Policy
	// CacheBytes bounds the newest records held in RAM as well as on disk, so
	// that they need not be read back. Disk only. 0: DefaultCacheBytes.
	CacheBytes int64
	// HoldMax bounds how many appends are held unacknowledged; beyond it the
	// oldest are acknowledged and kept in RAM. Memory only. 0: DefaultHoldMax.
	HoldMax int
	// Bound tells whether a Thing is bound, so that its records will go soon.
	// It is called without locks and must not block. nil: every Thing is. Memory only.
	Bound func(thing string) bool
	// OnDrop is told what was dropped, by reason and Thing. It is called without
	// locks, on the goroutine that caused the drop, and must not block.
	OnDrop func(reason, thing string, n int)
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	// Logger takes one line per change of state; nil: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxBytes < 0 || o.MaxAge < 0 || o.CacheBytes < 0 || o.HoldMax < 0 {
		return o, errors.New("outbox options: a limit is negative")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.HoldMax == 0 {
		o.HoldMax = DefaultHoldMax
	}
	switch o.WhenFull {
	case "":
		o.WhenFull = DropOldest
	case DropOldest, Fold:
	default:
		return o, fmt.Errorf("outbox options: when full %q; expected %q or %q", o.WhenFull, DropOldest, Fold)
	}
	if o.Bound == nil {
		o.Bound = func(string) bool { return true }
	}
	if o.OnDrop == nil {
		o.OnDrop = func(string, string, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// recordOverhead is counted for each record beside its data and names: it
// covers the index entry in RAM and the keys, header and page share on disk.
const recordOverhead = 64

// recordSize is what a record counts towards MaxBytes.
func recordSize(thing, key string, data []byte) int64 {
	return min(int64(len(thing)+len(key)+len(data)+recordOverhead), math.MaxUint32)
}

// Status is the state of an outbox at one moment.
type Status struct {
	Mode     string            // "disk" or "memory"
	Records  int               // kept
	Bytes    int64             // of them, as Options.MaxBytes counts
	MaxBytes int64             // the bound
	Oldest   time.Time         // when the oldest was received, to the second; zero: none
	Things   int               // that have records
	Waiting  int               // appends whose kept was not called yet
	Dropped  map[string]uint64 // records dropped since the start, by reason
	FileSize int64             // bytes; disk only
	Err      error             // why the disk does not write at present; nil: it does
	Since    time.Time         // since when Err stands
}
