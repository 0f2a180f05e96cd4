package httpd

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// connections are those that are open, by who opened them. Once there are as
// many as may be, whoever has the most gives way: of its connections on which no
// request is under way the oldest is closed for one of a caller who has fewer. So
// nobody keeps the others out by connections on which nothing comes, or nothing but
// requests that are not let through. Of those too many some are kept, to be told so.
type connections struct {
	most int

	mu      sync.Mutex // guards the following
	all     map[net.Conn]*connection
	callers map[netip.Prefix]*caller
}

type connection struct {
	conn   net.Conn
	caller *caller
	place  *list.Element // in caller.waiting; nil while a request is under way
}

// caller is an address, of IPv6 the network of one site.
type caller struct {
	from    netip.Prefix
	open    int
	waiting list.List // of *connection, the oldest first
}

func newConnections(most int) *connections {
	return &connections{most: most, all: make(map[net.Conn]*connection), callers: make(map[netip.Prefix]*caller)}
}

// add takes a new connection, and reports whether there is room for it.
func (c *connections) add(conn net.Conn) bool {
	from := callerOf(conn.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.callers[from]
	if by == nil {
		by = &caller{from: from}
		c.callers[from] = by
	}
	room := len(c.all) < c.most || c.makeRoomLocked(by.open+1)
	by.open++
	n := &connection{conn: conn, caller: by}
	n.place = by.waiting.PushBack(n)
	c.all[conn] = n
	if !room && len(c.all) > c.most+spare/2 { // or the next one would not even be taken
		c.makeRoomLocked(0)
	}
	return room
}

// makeRoomLocked closes a connection of whoever has the most, if that is more
// than share.
func (c *connections) makeRoomLocked(share int) bool {
	var most *caller
	for _, by := range c.callers {
		if by.open > share && by.waiting.Len() > 0 && (most == nil || by.open > most.open) {
			most = by
		}
	}
	if most == nil {
		return false
	}
	oldest := most.waiting.Front().Value.(*connection)
	c.forgetLocked(oldest)
	// Beneath TLS, whose own end would be written first.
	conn := oldest.conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	conn.Close()
	return true
}

func (c *connections) forgetLocked(n *connection) {
	delete(c.all, n.conn)
	if n.place != nil {
		n.caller.waiting.Remove(n.place)
	}
	if n.caller.open--; n.caller.open == 0 {
		delete(c.callers, n.caller.from)
	}
}

// changed follows a connection's state. One that was closed to make room is not known any more.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.all[conn]
	if n == nil {
		return
	}
	switch state {
	case http.StateActive:
		if n.place != nil {
			n.caller.waiting.Remove(n.place)
			n.place = nil
		}
	case http.StateIdle:
		n.waitsLocked()
	case http.StateClosed, http.StateHijacked:
		c.forgetLocked(n)
	}
}

// waitsLocked notes that no request is under way on it.
func (n *connection) waitsLocked() {
	if n.place == nil {
		n.place = n.caller.waiting.PushBack(n)
	}
}

// refused notes that the request on a connection is not let through: what is left of
// it, a body that may never come, is nobody's reason to wait.
func (c *connections) refused(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.all[conn]; n != nil {
		n.waitsLocked()
	}
}

// open is how many there are.
func (c *connections) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// callerOf is the address, or of IPv6 the /64 that it is in.
func callerOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the length fits
	return p
}
