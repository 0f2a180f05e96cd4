// Package console is the bridge's own HTTP side: probes, metrics, the admin API
// and the page for people. It shows and asks; all that it keeps is a history of
// rates, in memory and bounded.
//
// Order: requests are independent of each other; a trace gives its lines in the
// order in which things happened. Loss: none; a request that cannot be served now is
// answered 503, and a trace counts what it does not show. Blocking: each request has a
// time limit and a size limit, and Source is asked on the request's goroutine; a
// trace lasts, and gives up a reader that takes nothing for ten seconds. Goroutines:
// Run starts the server and the sampler of the history, and returns when both
// have ended; traces end at once then, other open requests get Options.StopTimeout.
//
// # The page
//
// The folder page is served as it is: HTML, CSS and JavaScript modules, written by
// hand, without a build. index.html loads app.js, which chooses a view by the address
// after # and gives it a Page to ask and draw with. dom.js alone makes elements, and
// only ever text of text: the policy that page.go sends forbids everything else.
//
// # Who may do what
//
// /healthz, /readyz and the page's files are open to everybody. /metrics is, if MetricsPublic is
// set. Everything else needs the token (Authorization: Bearer) or the user name
// and password, where one of them is set. Where none is, only a loopback address
// is listened on. Go's profiles are there only if Pprof is set. No GET changes
// anything; a POST must be JSON and must not come from another site's page; there
// are no cookies. The Host header must be one of ours, so that a foreign page cannot reach a loopback console through a
// name of its own; who brings the token is spared that.
package console
