package edgethings

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"thingbridge/bridge/permit"
)

// hosts are the machines whose agents may be called.
type hosts struct {
	*permit.Hosts
	own func() []string // the bridge's own listeners
}

func newHosts(list []string, own func() []string) (*hosts, error) {
	if len(list) == 0 {
		list = []string{permit.Localhost}
	}
	parsed, err := permit.ParseHosts(list)
	return &hosts{parsed, own}, err
}

// refusal says why an agent must not be at host and port; "" if it may.
func (h *hosts) refusal(host string, port int) string {
	switch {
	case !h.Host(host):
		return fmt.Sprintf("host %q is not among rest.edge_things.hosts", host)
	case h.mine(host, port):
		return fmt.Sprintf("%s is the bridge itself", net.JoinHostPort(host, fmt.Sprint(port)))
	}
	return ""
}

// mine reports whether host and port are a listener of the bridge's own. An
// address of this machine that is not loopback may be missed.
func (h *hosts) mine(host string, port int) bool {
	for _, own := range h.own() {
		ownHost, ownPort, err := net.SplitHostPort(own)
		if err != nil || ownPort != fmt.Sprint(port) {
			continue
		}
		if strings.EqualFold(ownHost, host) || local(host) && (local(ownHost) || unspecified(ownHost)) {
			return true
		}
	}
	return false
}

func local(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, permit.Localhost) || err == nil && addr.Unmap().IsLoopback()
}

func unspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

const dialTime = 5 * time.Second

// dial connects to an agent. Only a name that the configuration names may
// resolve to whatever it likes.
func (h *hosts) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTime}
	if !h.Name(host) {
		d.Control = h.control
	}
	return d.DialContext(ctx, network, address)
}

func (h *hosts) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if h.Address(at.Addr()) {
		return nil
	}
	return fmt.Errorf("address %s is not among rest.edge_things.hosts", at.Addr())
}
