package permit

import (
	"net/netip"
	"testing"
)

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		name string
		list []string
		host string
		want bool
	}{
		{"localhost by its name", []string{"localhost"}, "LocalHost", true},
		{"localhost by its addresses", []string{"localhost"}, "127.9.9.9", true},
		{"localhost by its address of IPv6", []string{"localhost"}, "::1", true},
		{"localhost by an address in other clothes", []string{"localhost"}, "::ffff:127.0.0.1", true},
		{"the whole of IPv6 is not localhost", []string{"localhost"}, "::2", false},
		{"localhost where nothing local is let through", []string{"10.0.0.0/8"}, "localhost", false},
		{"another name", []string{"localhost"}, "plc", false},
		{"a name in another case", []string{"PLC-1.plant.example"}, "plc-1.PLANT.example", true},
		{"an address", []string{"10.1.2.3"}, "10.1.2.3", true},
		{"the address beside it", []string{"10.1.2.3"}, "10.1.2.4", false},
		{"an address of a range", []string{"10.1.2.7/24"}, "10.1.2.200", true},
		{"an address beside a range", []string{"10.1.2.7/24"}, "10.1.3.1", false},
		{"a range of IPv6 with a zone", []string{"fe80::/10"}, "fe80::1%eth0", true},
		{"a number for an address", []string{"localhost"}, "2130706433", false},
		{"no host at all", []string{"localhost"}, "", false},
		{"nothing is let through", nil, "127.0.0.1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseHosts(c.list)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Host(c.host); got != c.want {
				t.Errorf("%q of %q: %v", c.host, c.list, got)
			}
		})
	}
	for _, bad := range []string{"", "a b", "10.1.2.3/99", "10.1.2.999", "127.1", "2130706433", "http://plc", "plc:80", "fe80::1%eth0"} {
		if _, err := ParseHosts([]string{bad}); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
}

// FuzzHosts: what is let through by an address is in a range of the list.
func FuzzHosts(f *testing.F) {
	f.Add("localhost", "127.0.0.1")
	f.Add("10.0.0.0/8", "::ffff:10.1.1.1")
	f.Add("plc.example", "PLC.example")
	f.Fuzz(func(t *testing.T, entry, host string) {
		h, err := ParseHosts([]string{entry})
		if err != nil || !h.Host(host) {
			return
		}
		if addr, err := netip.ParseAddr(host); err == nil && !h.Address(addr) {
			t.Errorf("%q is let through by %q", host, entry)
		}
	})
}
