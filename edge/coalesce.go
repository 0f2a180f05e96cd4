package edge

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// coalesceBytes is how much is gathered before it is written although more waits.
const coalesceBytes = 32 << 10

// coalescer is a net.Conn that gathers what is written once it is switched on,
// so that many WebSocket messages cost one system call (and, above TLS, one
// record). The handshake goes through it unchanged. Each write to the network
// gets its own deadline; those that the WebSocket library sets are ignored.
// The WebSocket library's reader may write a control frame beside the writer,
// hence the lock.
type coalescer struct {
	net.Conn
	timeout time.Duration
	writes  atomic.Uint64 // system calls
	in, out atomic.Uint64 // bytes

	mu  sync.Mutex // guards the following
	on  bool
	buf []byte
}

func newCoalescer(c net.Conn, timeout time.Duration) *coalescer {
	return &coalescer{Conn: c, timeout: timeout}
}

// gather switches it on.
func (c *coalescer) gather() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
	c.buf = make([]byte, 0, coalesceBytes)
}

func (c *coalescer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(uint64(n))
	return n, err
}

func (c *coalescer) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > cap(c.buf) {
		if err := c.flushLocked(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(c.buf) {
		if err := c.writeLocked(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// flush writes what was gathered.
func (c *coalescer) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushLocked()
}

func (c *coalescer) flushLocked() error {
	if len(c.buf) == 0 {
		return nil
	}
	err := c.writeLocked(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *coalescer) writeLocked(p []byte) error {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	n, err := c.Conn.Write(p)
	c.writes.Add(1)
	c.out.Add(uint64(n))
	return err
}

// SetWriteDeadline does nothing once gathering is on.
func (c *coalescer) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	on := c.on
	c.mu.Unlock()
	if on {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}
