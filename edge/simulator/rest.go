package simulator

import (
	"net/http"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// handler serves the edges' upgrade, the platform's REST, and /simulator.
func (p *Platform) handler() http.Handler {
	rest := http.NewServeMux()
	rest.HandleFunc("GET /Thingworx/Things", p.restThings)
	rest.HandleFunc("POST /Thingworx/Importer", p.restImport)
	rest.HandleFunc("/Thingworx/", p.restEntity)

	all := http.NewServeMux()
	all.HandleFunc("/Thingworx/WS", p.upgrade)
	all.Handle("/Thingworx/", p.withKey(trimSlash(rest)))
	p.controlRoutes(all)
	return all
}

// withKey asks for the application key: 401 without one, 403 with a wrong one.
func (p *Platform) withKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := r.Header.Get("appKey")
		if k == "" {
			k = r.URL.Query().Get("appKey")
		}
		switch {
		case p.keyMatches(k):
			next.ServeHTTP(w, r)
		case k == "":
			http.Error(w, "header appKey is missing", http.StatusUnauthorized)
		default:
			http.Error(w, "the application key is not valid", http.StatusForbidden)
		}
	})
}

// trimSlash takes a final slash off, which a platform does not mind.
func trimSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if trimmed, had := strings.CutSuffix(r.URL.Path, "/"); had {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = trimmed, strings.TrimSuffix(r.URL.RawPath, "/")
		}
		next.ServeHTTP(w, r)
	})
}

// restThings lists the Things.
func (p *Platform) restThings(w http.ResponseWriter, _ *http.Request) {
	table := columns("name", "description", "thingTemplate:THINGTEMPLATENAME", "identifier", "isConnected:BOOLEAN")
	for _, t := range p.Things() {
		addRow(table, t.Name, t.Description, t.Template, t.Identifier, t.Connected)
	}
	restjson.Answer(w, ok(alwayson.NewTable(table)))
}

// restEntity serves the properties, services and events of an entity.
func (p *Platform) restEntity(w http.ResponseWriter, r *http.Request) {
	target, bad := restjson.ParsePath(r.URL.EscapedPath())
	if bad != nil {
		http.Error(w, bad.Text, bad.Status)
		return
	}
	method, bad := target.Method(r.Method)
	if bad != nil {
		w.Header().Set("Allow", target.Allow())
		http.Error(w, bad.Text, bad.Status)
		return
	}
	var params *alwayson.InfoTable
	if method != alwayson.Get {
		if params, bad = p.restParams(w, r, target); bad != nil {
			http.Error(w, bad.Text, bad.Status)
			return
		}
	}
	resp, err := p.Call(r.Context(), method, target.Request(params))
	if err != nil { // the caller left, or the platform stops
		http.Error(w, "the request was given up: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	restjson.Answer(w, resp)
}

// restParams reads the body of a PUT or POST.
func (p *Platform) restParams(w http.ResponseWriter, r *http.Request, target restjson.Target) (*alwayson.InfoTable, *restjson.Problem) {
	object, bad := restjson.ReadBody(w, r, p.opts.MaxMessage)
	switch {
	case bad != nil:
		return nil, bad
	case target.Characteristic == alwayson.Properties:
		return restjson.Content(object), nil
	}
	return restjson.Params(object, p.inputsOf(target))
}

// inputsOf gives the declared inputs of a Thing's service; none if it is not declared.
func (p *Platform) inputsOf(target restjson.Target) []alwayson.FieldDefinition {
	if target.Type != alwayson.EntityThing || target.Characteristic != alwayson.Services {
		return nil
	}
	t := p.lookup(target.Entity)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.services[target.Name]; s != nil {
		return s.def.Inputs
	}
	return nil
}
