package console

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// pageFiles reads the page's files by name.
func pageFiles(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	list, err := fs.ReadDir(files, "page")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		b, err := files.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

func TestThePageNeedsNothingElseAndMakesNoMarkup(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function|localStorage|document\.cookie|setAttribute\('(on|style)`)
	inline := regexp.MustCompile(`<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`)
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z0-9]+\.[a-z]|@import|url\(`)
	for name, text := range pageFiles(t) {
		if found := forbidden.FindString(text); found != "" && !strings.HasSuffix(name, ".css") {
			t.Errorf("%s has %s", name, found)
		}
		if found := inline.FindString(text); found != "" && strings.HasSuffix(name, ".html") {
			t.Errorf("%s has %s", name, found)
		}
		for _, found := range elsewhere.FindAllString(text, -1) {
			if found != "http://www.w" && found != "//www.w" { // the name of SVG's namespace
				t.Errorf("%s has %s", name, found)
			}
		}
	}
}

func TestEveryFileOfThePageIsThereAndUsed(t *testing.T) {
	all := pageFiles(t)
	used := map[string]bool{"index.html": true}
	reference := regexp.MustCompile(`(?:'\./|"/page/)([a-z]+\.[a-z]+)['"]`)
	for name, text := range all {
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if all[m[1]] == "" {
				t.Errorf("%s wants %s, which is not there", name, m[1])
			}
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
		w := serve(t, options(), get("/page/"+name))
		if w.Code != 200 || w.Body.String() != all[name] {
			t.Errorf("%s is not served: %d", name, w.Code)
		}
	}
}

func TestThePageIsOpenAndItsPolicyIsStrict(t *testing.T) {
	o := options()
	o.Token, o.Username, o.Password = "T", "u", "p"
	r := get("/")
	r.Host = "bridge.plant-7:8480"
	w := serve(t, o, r)
	if w.Code != 200 {
		t.Fatalf("the page that asks for the token wants it: %d", w.Code)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "trusted-types 'none'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("no %s in %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("%s", policy)
	}
	plain := serve(t, o, get("/api/v1/status"))
	ours := get("/api/v1/status")
	ours.Header.Set(pageHeader, "1")
	own := serve(t, o, ours)
	if plain.Code != 401 || own.Code != 401 || !strings.HasPrefix(plain.Header().Get("WWW-Authenticate"), "Basic") || strings.HasPrefix(own.Header().Get("WWW-Authenticate"), "Basic") {
		t.Errorf("a program is asked with %q, the page with %q", plain.Header().Get("WWW-Authenticate"), own.Header().Get("WWW-Authenticate"))
	}
}
