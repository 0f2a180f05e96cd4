package httpd

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// reread is how long a certificate counts before it is looked at again.
const reread = time.Second

// certificates keeps the TLS settings of a listener as its files have them. While the files
// cannot be used, the last good settings stay in force.
type certificates struct {
	read func() (*tls.Config, error)
	log  *slog.Logger

	mu      sync.Mutex // guards the following
	good    *tls.Config
	at      time.Time
	failing bool
}

func newCertificates(read func() (*tls.Config, error), log *slog.Logger) (*certificates, error) {
	c, err := read()
	if err != nil {
		return nil, err
	}
	return &certificates{read: read, log: log, good: c, at: time.Now()}, nil
}

func (c *certificates) config() *tls.Config {
	first := c.good.Clone()
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }
	return first
}

// current reads the files again, at most once in a while.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < reread {
		return c.good
	}
	c.at = time.Now()
	fresh, err := c.read()
	switch {
	case err == nil:
		c.good = fresh
	case !c.failing:
		c.log.Warn("certificate cannot be read; the last good one stays in use", "error", err)
	}
	if err == nil && c.failing {
		c.log.Info("certificate can be read again")
	}
	c.failing = err != nil
	return c.good
}
