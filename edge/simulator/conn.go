package simulator

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

// conn is one connection of an edge, from the upgrade to its end. serve runs
// the reader; the writer is one more goroutine, which serve waits for.
type conn struct {
	p         *Platform
	id        uint64
	ws        *websocket.Conn
	remote    string
	headerKey string // of the upgrade request
	started   time.Time
	out       *outbox
	calls     calls
	sync      syncQueue
	lastSeen  atomic.Int64  // unix nanoseconds
	session   atomic.Uint32 // 0: not authenticated
	stop      chan struct{} // closed by end
	ended     sync.Once
	sentClose atomic.Bool // by close: what still comes is ignored
	gotClose  atomic.Bool

	// Owned by the reader.
	reassembler *alwayson.Reassembler
	sets        time.Time            // when incomplete messages were last looked at
	byName      map[string]*endpoint // this connection's bindings, as it spells them
	answered    [16]uint32           // ids of undecodable requests, answered already
	nextBad     int

	// Guarded by p.mu.
	endpoints map[string]*endpoint // by key
	gateway   *alwayson.Gateway
}

// upgrade takes a WebSocket upgrade and serves the connection until it ends.
func (p *Platform) upgrade(w http.ResponseWriter, r *http.Request) {
	if p.faults.refusesConnections() {
		p.abort(w)
		return
	}
	up := websocket.Upgrader{
		HandshakeTimeout:  writeWait,
		ReadBufferSize:    16 << 10,
		WriteBufferSize:   16 << 10,
		EnableCompression: p.opts.Compression,
		CheckOrigin:       func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			http.Error(w, reason.Error(), status)
		},
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		p.stats.badUpgrades.Add(1)
		p.log.Info("edge upgrade refused", "remote", r.RemoteAddr, "error", err)
		return
	}
	frame := p.opts.Chunk
	if n, err := strconv.Atoi(r.Header.Get("Max-Frame-Size")); err == nil && n >= 128 && n < frame {
		frame = n
	}
	compress := p.opts.Compression && bytes.Contains([]byte(r.Header.Get("Sec-Websocket-Extensions")), []byte("permessage-deflate"))
	c := &conn{
		p: p, ws: ws, remote: r.RemoteAddr, headerKey: r.Header.Get("appKey"), started: time.Now(),
		out: newOutbox(frame, compress), stop: make(chan struct{}),
		byName: map[string]*endpoint{}, endpoints: map[string]*endpoint{},
		reassembler: alwayson.NewReassembler(alwayson.ReassemblerOptions{MaxMessage: p.opts.MaxMessage, Timeout: setTimeout}),
	}
	c.calls.init()
	c.sync.c = c
	c.lastSeen.Store(c.started.UnixNano())
	if !p.enter(c) {
		_ = ws.Close()
		return
	}
	defer p.leave(c)
	c.serve()
}

// serve runs the reader until the connection ends, then waits for the writer.
func (c *conn) serve() {
	c.p.log.Info("edge connected", "connection", c.id, "remote", c.remote)
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.end()
	writer.Wait()
	_ = c.ws.Close()
	c.sync.clear()
	c.p.dropEndpoints(c, !c.gotClose.Load() && !c.sentClose.Load())
	c.p.log.Info("edge disconnected", "connection", c.id, "remote", c.remote, "error", err)
}

// end makes reader and writer end. The writer still writes what waits.
func (c *conn) end() {
	c.ended.Do(func() {
		close(c.stop)
	})
}

// cut ends the connection at once, without CLOSE.
func (c *conn) cut() { _ = c.ws.NetConn().Close() }

// close sends CLOSE with a code and a reason and ends the connection.
func (c *conn) close(code int, reason string) {
	c.sentClose.Store(true)
	c.out.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	c.end()
}

// read takes messages until the connection breaks or closes.
func (c *conn) read() error {
	c.ws.SetPingHandler(func(data string) error {
		c.seen()
		c.out.control(websocket.PongMessage, []byte(data))
		return nil
	})
	c.ws.SetPongHandler(func(string) error {
		c.seen()
		return nil
	})
	c.ws.SetCloseHandler(func(code int, _ string) error {
		c.gotClose.Store(true)
		if code == websocket.CloseNoStatusReceived {
			code = websocket.CloseNormalClosure
		}
		c.out.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
		return nil
	})
	var buf bytes.Buffer
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return err
		}
		buf.Reset()
		_, err = buf.ReadFrom(io.LimitReader(r, int64(c.p.opts.MaxMessage)+1))
		if err == nil && buf.Len() > c.p.opts.MaxMessage {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return err
		}
		c.seen()
		if kind != websocket.BinaryMessage || c.sentClose.Load() {
			continue
		}
		c.p.faults.waitStalled(c)
		c.message(buf.Bytes())
		if buf.Cap() > 1<<20 {
			buf = bytes.Buffer{}
		}
	}
}

func (c *conn) seen() { c.lastSeen.Store(time.Now().UnixNano()) }

// write writes what waits, and keeps the connection alive, until end.
func (c *conn) write() {
	pinged := false
	timer := time.NewTimer(c.tick(c.started, &pinged))
	defer timer.Stop()
	var spare []byte
	for {
		select {
		case <-c.stop:
			c.lastWords(spare)
			return
		case <-c.out.wake:
			c.p.faults.waitStalled(c)
			var last bool
			var err error
			spare, last, err = c.out.flush(c.ws, spare)
			if cap(spare) > 1<<20 {
				spare = nil
			}
			if err != nil || last {
				c.hangUp(err == nil)
				return
			}
		case <-timer.C:
			timer.Reset(c.tick(time.Now(), &pinged))
		}
	}
}

// tick closes a connection that took too long to authenticate or went silent,
// pings one that is about to, and says when to look again.
func (c *conn) tick(now time.Time, pinged *bool) time.Duration {
	next := time.Hour
	if c.session.Load() == 0 {
		if next = c.started.Add(c.p.opts.AuthWait).Sub(now); next <= 0 {
			c.close(websocket.ClosePolicyViolation, "no AUTH within "+c.p.opts.AuthWait.String())
			return time.Hour
		}
	}
	idle := c.p.opts.IdleTimeout
	silent := now.Sub(time.Unix(0, c.lastSeen.Load()))
	left := idle - silent
	switch {
	case left <= 0:
		c.p.stats.idleClosed.Add(1)
		c.close(websocket.CloseNormalClosure, "idle for "+idle.String())
		return time.Hour
	case silent < idle*3/4:
		*pinged = false
		left = idle*3/4 - silent
	case !*pinged:
		*pinged = true
		c.out.control(websocket.PingMessage, []byte("idle"))
	}
	return min(next, left)
}

// lastWords writes what is left after end, then hangs up.
func (c *conn) lastWords(spare []byte) {
	_, _, err := c.out.flush(c.ws, spare)
	c.hangUp(err == nil && (c.sentClose.Load() || c.gotClose.Load()))
}

// hangUp lets the edge answer the CLOSE for a moment, then makes the reader end.
func (c *conn) hangUp(closed bool) {
	if !closed || c.gotClose.Load() {
		c.cut()
		return
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(closeWait))
}

// send encodes m and queues it, in chunks if it is long.
func (c *conn) send(m *alwayson.Message) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b, err := alwayson.Append((*buf)[:0], m)
	if err != nil {
		return err
	}
	*buf = b
	if len(b) > c.p.opts.MaxMessage {
		return alwayson.ErrTooLarge
	}
	if len(b)+multipartHeader <= c.p.opts.Chunk {
		c.queue(b)
		return nil
	}
	chunks, err := alwayson.Chunks(nil, b, c.p.opts.Chunk)
	if err != nil {
		return err
	}
	if len(chunks)*c.p.opts.Chunk > c.p.opts.MaxMessage {
		return alwayson.ErrTooLarge
	}
	c.queue(chunks...)
	return nil
}

func (c *conn) queue(messages ...[]byte) {
	if !c.out.add(messages...) {
		c.p.stats.slowClosed.Add(1)
		c.cut()
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}
