package edgethings

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTheBridgeItselfIsNoAgentWhateverItIsCalled(t *testing.T) {
	var outside string // an address of this machine that others see
	if all, err := net.InterfaceAddrs(); err == nil {
		i := slices.IndexFunc(all, func(a net.Addr) bool {
			network, ok := a.(*net.IPNet)
			return ok && network.IP.To4() != nil && !network.IP.IsLoopback()
		})
		if i >= 0 {
			outside = all[i].(*net.IPNet).IP.String()
		}
	}
	for _, c := range []struct {
		name, own, dialled string
		named, refused     bool
	}{
		{"loopback", "127.0.0.1:8480", "127.0.0.1:8480", false, true},
		{"another address of loopback", "127.0.0.1:8480", "127.0.0.9:8480", false, true},
		{"loopback as IPv6 writes IPv4", "127.0.0.1:8480", "[::ffff:127.0.0.1]:8480", false, true},
		{"no address, which is this machine", "127.0.0.1:8480", "0.0.0.0:8480", false, true},
		{"no address as IPv6 writes it", "127.0.0.1:8480", "[::ffff:0.0.0.0]:8480", false, true},
		{"loopback where all addresses are listened on", ":8480", "127.0.0.1:8480", false, true},
		{"an address of the machine where all are listened on", "0.0.0.0:8480", outside + ":8480", false, true},
		{"the same of IPv6", "[::]:8480", outside + ":8480", false, true},
		{"an address of the machine where a name is listened on", "gateway.plant:8480", outside + ":8480", false, true},
		{"a name of the configuration that leads to loopback", "localhost:8480", "127.0.0.1:8480", true, true},
		{"another port", "127.0.0.1:8480", "127.0.0.1:8481", false, false},
		{"another machine", "0.0.0.0:8480", "203.0.113.7:8480", false, false},
		{"an address of the machine that is not listened on", "127.0.0.1:8480", outside + ":8480", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := netip.ParseAddrPort(c.dialled)
			if err != nil {
				t.Skip("this machine has no address beside loopback")
			}
			h, err := newHosts([]string{"0.0.0.0/0", "::/0"}, func() []string { return []string{c.own} })
			if err != nil {
				t.Fatal(err)
			}
			err = h.control(c.named, c.dialled)
			if refused := err != nil && strings.Contains(err.Error(), "is the bridge itself"); refused != c.refused || err != nil && !refused {
				t.Errorf("dialled: %v", err)
			}
			if why := h.refusal(at.Addr().String(), int(at.Port())); (why != "") != c.refused {
				t.Errorf("registered: %q", why)
			}
		})
	}
}

func TestWhatIsDialledIsJudgedByItsAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own := []string{l.Addr().String()}
	h, err := newHosts(nil, func() []string { return own })
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("localhost", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	if c, err := h.dial(context.Background(), "tcp4", address); err == nil {
		c.Close()
		t.Error("the bridge's own listener is dialled")
	} else if !strings.Contains(err.Error(), "is the bridge itself") {
		t.Error(err)
	}
	own = nil
	c, err := h.dial(context.Background(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAnAddressWithAZoneIsAskedWhereItSays(t *testing.T) {
	reg := &registration{Name: "a", Host: "fe80::1%eth0", Port: 8001, Proto: "http", Path: "/x"}
	at, err := url.Parse(reg.url("Services", "Go"))
	if err != nil || at.Hostname() != reg.Host {
		t.Errorf("%s leads to %v: %v", reg.url("Services", "Go"), at, err)
	}
}
