package broker

import (
	"log/slog"
	"net"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// entrance takes in connections until it is closed, and then ends all that it
// has taken in. The library's own listeners may take one in while the server
// already waits for the last to end.
type entrance struct {
	listener net.Listener
	clients  *sync.WaitGroup // the server waits for it after Close
	log      *slog.Logger

	// mu guards the following.
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func newEntrance(l net.Listener, clients *sync.WaitGroup) *entrance {
	return &entrance{listener: l, clients: clients, conns: map[net.Conn]struct{}{}}
}

func (*entrance) ID() string         { return "main" }
func (e *entrance) Address() string  { return e.listener.Addr().String() }
func (e *entrance) Protocol() string { return e.listener.Addr().Network() }

func (e *entrance) Init(log *slog.Logger) error {
	e.log = log
	return nil
}

// Serve takes connections in until Close.
func (e *entrance) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := e.listener.Accept()
		if err != nil {
			return
		}
		if !e.enter(conn) {
			conn.Close()
			return
		}
		go func() {
			defer e.leave(conn)
			if err := establish(e.ID(), conn); err != nil {
				e.log.Warn("connection ended", "error", err)
			}
		}()
	}
}

func (e *entrance) enter(conn net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.clients.Add(1)
	e.conns[conn] = struct{}{}
	return true
}

func (e *entrance) leave(conn net.Conn) {
	e.mu.Lock()
	delete(e.conns, conn)
	e.mu.Unlock()
	conn.Close()
	e.clients.Done()
}

// Close ends the listener, the clients, and the connections that have not yet
// said who they are.
func (e *entrance) Close(closeClients listeners.CloseFn) {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.listener.Close()
	closeClients(e.ID())
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn := range e.conns {
		conn.Close()
	}
}
