// Package httpd is what the bridge's HTTP listeners have in common: whom they let
// in, how they take connections, how they end. The console and the REST side use it.
//
// Order: requests are independent of each other. Loss: a connection over
// Server.Connections is answered 503 and closed, unless another caller has more of
// them and one on which nothing is under way: that one is closed. Beyond some more,
// connections wait unaccepted. Blocking: reading the header, reading all of a request and
// answering it each have a time limit. Goroutines: Run starts the server and
// returns when it has ended; open requests get Server.StopTimeout.
//
// # Who is let in
//
// With a token, or a user name and password, everybody who brings one of them.
// Without, only a loopback address is listened on. Nothing that changes something
// is taken from another site's page; there are no cookies. The Host header must
// be one of ours, so that a foreign page cannot reach a loopback listener through a
// name of its own; who logs in is spared that.
package httpd
