package integration

import "testing"

func TestTheBrokerKeepsItsAddressOverARestart(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	address := b.proxy.Listen
	if !listens(address) {
		t.Fatal("it does not listen")
	}
	b.stop()
	if listens(address) {
		t.Fatal("it listens although it is stopped")
	}
	b.restart()
	if !listens(address) {
		t.Fatal("it does not listen again")
	}
}
