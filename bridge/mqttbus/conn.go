package mqttbus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// conn stands between the MQTT library and the network. It reads packet by
// packet: it checks each fixed header before the library allocates by it, skips
// what is too large, and stops reading while the inbox is full. It gives each
// write a deadline, each read one that only runs while we do read, sends its own
// pings, and writes acknowledgements in batches. It dies of its first error, which it keeps.
//
// The library reads from one goroutine; everything else may come from any.
type conn struct {
	net.Conn
	reader *bufio.Reader
	opt    connOptions

	// Owned by the reading goroutine.
	head    []byte // fixed header bytes not yet given to the library
	headBuf [5]byte
	body    int  // bytes of the packet's rest not yet given to the library
	greeted bool // CONNACK was seen

	subacks sync.Map // packet id -> number of filters of each SUBSCRIBE written

	writeMu sync.Mutex // serialises writes

	ackMu sync.Mutex // guards acks, open
	acks  []byte     // PUBACK and PUBREC packets to write
	open  int        // messages received and not yet acknowledged

	ackDue    chan struct{} // capacity 1
	handshake atomic.Pointer[time.Time]
	lastRead  atomic.Int64 // unix nanoseconds; of any byte
	lastWrite atomic.Int64
	lastMsg   atomic.Int64 // of the last message read, or the end of a pause
	paused    atomic.Bool

	closeOnce sync.Once
	closed    chan struct{}
	cause     error // written before closed is closed
}

type connOptions struct {
	payloadLimit *atomic.Int64
	keepAlive    time.Duration
	writeTimeout time.Duration
	inbox        *inbox // nil on the connection that receives no messages
	metrics      *metrics
	skipped      func(topic string, size int, reason dropReason) // told of each message that is dropped
}

var (
	// errClosedByLibrary says that the library ended the connection; its own reason tells why.
	errClosedByLibrary = errors.New("connection ended")
	errClosedByBroker  = errors.New("the broker closed the connection")
	errSilent          = errors.New("the broker has been silent, pings included")
	errNoConnack       = errors.New("the broker did not answer the CONNECT in time")
)

// ProtocolError says that the broker sent what MQTT 3.1.1 does not allow.
type ProtocolError struct{ Text string }

func (e *ProtocolError) Error() string { return "the broker broke the protocol: " + e.Text }

func protocolError(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

func newConn(raw net.Conn, opt connOptions) *conn {
	c := &conn{Conn: raw, opt: opt, ackDue: make(chan struct{}, 1), closed: make(chan struct{})}
	c.reader = bufio.NewReaderSize(rawReader{c}, 16<<10)
	now := time.Now().UnixNano()
	c.lastRead.Store(now)
	c.lastWrite.Store(now)
	c.lastMsg.Store(now)
	return c
}

// fail closes the connection for the given reason, if it is the first.
func (c *conn) fail(err error) {
	c.closeOnce.Do(func() {
		c.cause = err
		close(c.closed)
		c.Conn.Close()
	})
}

// Close is the library's way to end the connection.
func (c *conn) Close() error {
	c.fail(errClosedByLibrary)
	return nil
}

// err is the reason why the connection ended; nil while it stands.
func (c *conn) err() error {
	select {
	case <-c.closed:
		return c.cause
	default:
		return nil
	}
}

// SetDeadline is used by the library around the handshake: a fixed time by which
// it must be over, then none.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.handshake.Store(nil)
		return nil
	}
	c.handshake.Store(&t)
	return nil
}

// SetReadDeadline does nothing: each read has its own deadline.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: each write has its own deadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) deadline(limit time.Duration) time.Time {
	if t := c.handshake.Load(); t != nil {
		return *t
	}
	return time.Now().Add(limit)
}

// rawReader reads from the network with a deadline.
type rawReader struct{ c *conn }

func (r rawReader) Read(p []byte) (int, error) {
	c := r.c
	silence := c.opt.keepAlive + c.opt.keepAlive/2
	if err := c.Conn.SetReadDeadline(c.deadline(silence)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.lastRead.Store(time.Now().UnixNano())
		c.opt.metrics.bytesIn.Add(float64(n))
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		if c.handshake.Load() != nil {
			err = errNoConnack
		} else {
			err = fmt.Errorf("%w: nothing in %v", errSilent, silence)
		}
	}
	return n, err
}

// Read gives the library the next bytes of packets that were found good.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errClosedByBroker
		}
		c.fail(err)
		// Not err itself: the library takes an error that speaks of a closed
		// connection as its own doing, and would then not end.
		return n, fmt.Errorf("reading ended: %v", reasonText(c.err()))
	}
	return n, nil
}

func reasonText(err error) string {
	if errors.Is(err, net.ErrClosed) {
		return "closed"
	}
	return err.Error()
}

func (c *conn) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.head) == 0 && c.body == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.reader.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

// Write sends one packet of the library's.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0]>>4 == typeSubscribe {
		c.noteSubscribe(p)
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.err(); err != nil {
		return 0, errors.New("writing ended: " + reasonText(err))
	}
	if err := c.Conn.SetWriteDeadline(c.deadline(c.opt.writeTimeout)); err != nil {
		c.fail(err)
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.opt.metrics.bytesOut.Add(float64(n))
	c.lastWrite.Store(time.Now().UnixNano())
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("the broker took nothing for %v", c.opt.writeTimeout)
		}
		c.fail(err)
		return n, errors.New("writing ended: " + reasonText(c.err()))
	}
	return n, nil
}

// acknowledge has the PUBACK (or PUBREC) for a received message written soon.
func (c *conn) acknowledge(qos byte, id uint16) {
	if c.err() != nil {
		return
	}
	c.ackMu.Lock()
	c.acks = append(c.acks, ackType(qos), 2, byte(id>>8), byte(id))
	c.open--
	c.opt.metrics.unacked.Set(float64(c.open))
	c.ackMu.Unlock()
	signal(c.ackDue)
}

func ackType(qos byte) byte {
	if qos == 2 {
		return typePubrec << 4
	}
	return typePuback << 4
}

// owed notes that a message was received which wants an acknowledgement.
func (c *conn) owed() {
	c.ackMu.Lock()
	c.open++
	c.opt.metrics.unacked.Set(float64(c.open))
	c.ackMu.Unlock()
}

// flushAcks writes the acknowledgements that are due.
func (c *conn) flushAcks() {
	c.ackMu.Lock()
	acks := c.acks
	c.acks = nil
	c.ackMu.Unlock()
	if len(acks) > 0 {
		c.Write(acks) // an error ends the connection, and so is seen
	}
}

// tend writes acknowledgements and pings until the connection ends.
func (c *conn) tend() {
	every := c.opt.keepAlive / 4
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-c.ackDue:
			// What the messages set going, an answer to the platform above all, goes first.
			runtime.Gosched()
			c.flushAcks()
		case now := <-ticker.C:
			limit := now.Add(-2 * every).UnixNano()
			if c.lastWrite.Load() <= limit || c.lastRead.Load() <= limit {
				c.Write([]byte{typePingreq << 4, 0})
			}
		}
	}
}

// quietFor is how long no message came although we were reading.
func (c *conn) quietFor() time.Duration {
	if c.paused.Load() {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - c.lastMsg.Load())
}
