package console

import (
	"embed"
	"net/http"
	"path"
)

// files is the page. Nothing in it is secret: it is open to everybody and asks
// the API, which is not.
//
//go:embed page
var files embed.FS

// pagePolicy lets the page load its own files and ask its own API, and nothing
// else: no inline script or style, no other origin, no text that becomes markup.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var pageTypes = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// pageHeader marks the requests of our own page, which asks for the log-in itself.
const pageHeader = "Thingbridge-Page"

// page serves one of the page's files.
func (c *Console) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := files.ReadFile("page/" + name)
		kind := pageTypes[path.Ext(name)]
		if err != nil || kind == "" {
			fail(w, http.StatusNotFound, "the page has no such file")
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", pagePolicy)
		_, _ = w.Write(b)
	}
}
