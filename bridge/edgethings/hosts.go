package edgethings

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
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

// mine reports whether host and port are a listener of the bridge's own. What a
// name stands for is seen when it is dialled.
func (h *hosts) mine(host string, port int) bool {
	if strings.EqualFold(host, permit.Localhost) {
		host = defaultHost
	}
	addr, err := netip.ParseAddr(host)
	return h.owns(port, func(own string) bool {
		return strings.EqualFold(own, host) || err == nil && reaches(addr, own)
	})
}

// owns reports whether one of the bridge's own listeners with that port is meant.
func (h *hosts) owns(port int, meant func(host string) bool) bool {
	for _, own := range h.own() {
		ownHost, ownPort, err := net.SplitHostPort(own)
		if err == nil && ownPort == strconv.Itoa(port) && meant(ownHost) {
			return true
		}
	}
	return false
}

// reaches reports whether who dials addr may come to what listens on a host of
// this machine: on that address, on all of them, or on a name that may stand for it.
func reaches(addr netip.Addr, own string) bool {
	addr = addr.Unmap().WithZone("")
	listens, err := netip.ParseAddr(own)
	listens = listens.Unmap().WithZone("")
	switch {
	case err == nil && !listens.IsUnspecified():
		return addr == listens || listens.IsLoopback() && (addr.IsLoopback() || addr.IsUnspecified())
	case strings.EqualFold(own, permit.Localhost):
		return addr.IsLoopback() || addr.IsUnspecified()
	}
	return thisMachine(addr)
}

// thisMachine reports whether addr is one of this machine's.
func thisMachine(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		own, ok := netip.AddrFromSlice(network.IP)
		return ok && own.Unmap() == addr
	})
}

func unspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

const dialTime = 5 * time.Second

// dial connects to an agent. Only a name that the configuration names may
// resolve to whatever it likes, but for the bridge itself.
func (h *hosts) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		return h.control(h.Name(host), address)
	}}
	return d.DialContext(ctx, network, address)
}

// control judges an address before it is dialled; named: a name that the
// configuration names stands for it.
func (h *hosts) control(named bool, address string) error {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return err
	case !named && !h.Address(at.Addr()):
		return fmt.Errorf("address %s is not among rest.edge_things.hosts", at.Addr())
	case h.owns(int(at.Port()), func(own string) bool { return reaches(at.Addr(), own) }):
		return fmt.Errorf("%s is the bridge itself", at)
	}
	return nil
}
