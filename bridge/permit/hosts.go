package permit

import (
	"fmt"
	"net/netip"
	"strings"
)

// Localhost is the name that always means this machine: of it loopback
// addresses alone are let through, whatever it resolves to.
const Localhost = "localhost"

// Hosts are machines that may be called: by names, which may resolve to any
// address, by addresses and by ranges of them.
type Hosts struct {
	names    map[string]bool // lower case
	prefixes []netip.Prefix
}

// ParseHosts reads a list of host names, addresses and ranges like 10.1.2.0/24.
// The error is of the first that cannot be read.
func ParseHosts(list []string) (*Hosts, error) {
	h := &Hosts{names: map[string]bool{}}
	for _, entry := range list {
		prefix, prefixErr := netip.ParsePrefix(entry)
		addr, addrErr := netip.ParseAddr(entry)
		switch {
		case strings.EqualFold(entry, Localhost):
			h.prefixes = append(h.prefixes, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
		case prefixErr == nil:
			h.prefixes = append(h.prefixes, prefix.Masked())
		case addrErr == nil && addr.Zone() == "":
			h.prefixes = append(h.prefixes, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		case hostName(entry):
			h.names[strings.ToLower(entry)] = true
		default:
			return nil, fmt.Errorf("%q is neither a host name nor an address nor a range like 10.1.2.0/24", entry)
		}
	}
	return h, nil
}

// hostName reports whether s is a host's name; one that ends in a number might
// be read as an address by others, and is none.
func hostName(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > 253 || strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return false
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// Name reports whether a host is let through by its name.
func (h *Hosts) Name(name string) bool { return h.names[strings.ToLower(name)] }

// Address reports whether an address is let through.
func (h *Hosts) Address(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range h.prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Host reports whether what stands as a host in a URL is let through: a name, an
// address, or Localhost where loopback addresses are.
func (h *Hosts) Host(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return h.Address(addr)
	}
	return h.Name(host) || strings.EqualFold(host, Localhost) && h.Address(netip.MustParseAddr("127.0.0.1"))
}
