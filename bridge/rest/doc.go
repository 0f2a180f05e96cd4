// Package rest is the platform's REST on a listener of the bridge's own: requests
// in the platform's shape are forwarded over the one WebSocket, the platform's
// answers come back as it gave them.
//
// Order: requests are independent of each other; they are sent in the order in which
// their bodies were read. Loss: none is sent twice, and none is kept: what cannot be
// sent now is answered 503 and was not sent, and what was sent and got no answer is
// answered 504 (in its time) or 502 (the connection was lost), and the platform may have acted.
// Blocking: a request waits on its own goroutine. The platform's side hands its answer
// over and goes on; it never waits for a caller that reads slowly or has left.
// Goroutines: those of the HTTP server and one that ends episodes in the log; Run
// returns when all have ended, and open requests get Options.StopTimeout.
//
// # Bounds
//
// Options.InFlight requests at a time; one counts until its answer is written and
// the platform has answered or its time is over, so that callers that leave early
// cannot heap up work. Options.BodyBytes of bodies at a time, Options.MaxMessage
// bytes of one; Options.Connections. Everything beyond is refused at once with 503 (413
// for one body) and counted.
//
// # Who may do what
//
// Package httpd says who is let in. The application key is never taken for a log-in and never
// given away; the header appKey may carry this listener's own token. Then the rules of
// Options.Allow decide, and without any nothing is forwarded. What Options.Local
// answers is not forwarded and asks for no rule.
package rest
