package broker

import (
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// entrance takes in connections until it is closed, and then ends all that it
// has taken in. The library's own listeners may take one in while the server
// already waits for the last to end, and what it gives Close to end a listener's clients
// (v2.7.9) locks the same lock twice, and so for ever if one leaves in between.
type entrance struct {
	listener net.Listener
	server   *mqtt.Server // waits for Listeners.ClientsWg after Close
	log      *slog.Logger

	// mu guards the following.
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func newEntrance(l net.Listener, server *mqtt.Server) *entrance {
	return &entrance{listener: l, server: server, conns: map[net.Conn]struct{}{}}
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
	e.server.Listeners.ClientsWg.Add(1)
	e.conns[conn] = struct{}{}
	return true
}

func (e *entrance) leave(conn net.Conn) {
	e.mu.Lock()
	delete(e.conns, conn)
	e.mu.Unlock()
	conn.Close()
	e.server.Listeners.ClientsWg.Done()
}

// Close ends the listener, the clients, and the connections that have not yet
// said who they are.
func (e *entrance) Close(listeners.CloseFn) {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.listener.Close()
	for _, cl := range e.server.Clients.GetAll() {
		if !cl.Closed() {
			_ = e.server.DisconnectClient(cl, packets.ErrServerShuttingDown)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn := range e.conns {
		conn.Close()
	}
}
