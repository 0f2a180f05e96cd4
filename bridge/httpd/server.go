package httpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// spare is how many connections over Server.Connections are taken, to be told so.
const spare = 32

// Server is an HTTP listener with bounds. Address and Handler are required. It
// can be run once.
type Server struct {
	Address     string
	Handler     http.Handler
	TLS         func() (*tls.Config, error) // nil: none. Asked at the start and, for a changed certificate, again and again
	Connections int                         // at a time; the next ones are answered 503, unless another caller has more and waits
	Refused     func()                      // is told of each such connection; nil: nobody is
	AnswerTime  time.Duration               // from a request's header to the end of its answer
	StopTimeout time.Duration               // for open requests when Run ends
	Logger      *slog.Logger                // not nil

	listener atomic.Pointer[net.Listener]
	open     *connections // since Listen
}

// Listen takes the address, so that Addr is known; Run does it where it was not done.
func (s *Server) Listen() error {
	if s.listener.Load() != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.Address)
	if err != nil {
		return err
	}
	l = netutil.LimitListener(l, s.Connections+spare)
	if s.TLS != nil {
		c, err := newCertificates(s.TLS, s.Logger)
		if err != nil {
			l.Close()
			return fmt.Errorf("tls: %w", err)
		}
		l = tls.NewListener(l, c.config())
	}
	s.open = newConnections(s.Connections)
	s.listener.Store(&l)
	return nil
}

// Addr is where it listens; nil before Listen.
func (s *Server) Addr() net.Addr {
	if l := s.listener.Load(); l != nil {
		return (*l).Addr()
	}
	return nil
}

// Close gives back the address of a Server that is not run.
func (s *Server) Close() {
	if l := s.listener.Load(); l != nil {
		(*l).Close()
	}
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ConnContext:       s.connected,
		ConnState:         s.open.changed,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      s.AnswerTime + 15*time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(*s.listener.Load()) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	if server.Shutdown(limit) != nil {
		server.Close()
	}
	<-ended
	return nil
}

type placeKey struct{}

// place is the connection that a request came on.
type place struct {
	open *connections
	conn net.Conn
	over bool // one too many
}

func (s *Server) connected(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, placeKey{}, &place{open: s.open, conn: c, over: !s.open.add(c)})
}

// refused notes that a request is not let through.
func refused(r *http.Request) {
	if p, ok := r.Context().Value(placeKey{}).(*place); ok {
		p.open.refused(p.conn)
	}
}

// serve answers what comes on a connection too many.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if p, ok := r.Context().Value(placeKey{}).(*place); !ok || !p.over {
		s.Handler.ServeHTTP(w, r)
		return
	}
	if s.Refused != nil {
		s.Refused()
	}
	refused(r)
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", "1")
	http.Error(w, fmt.Sprintf("%d connections are open already", s.Connections), http.StatusServiceUnavailable)
}
