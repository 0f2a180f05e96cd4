package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"thingbridge/edge/alwayson"
)

// handler serves the edges' upgrade, the platform's REST, and /simulator.
func (p *Platform) handler() http.Handler {
	rest := http.NewServeMux()
	rest.HandleFunc("GET /Thingworx/Things", p.restThings)
	rest.HandleFunc("GET /Thingworx/Things/{thing}/Properties", p.restRead)
	rest.HandleFunc("GET /Thingworx/Things/{thing}/Properties/{property}", p.restRead)
	rest.HandleFunc("PUT /Thingworx/Things/{thing}/Properties/{property}", p.restWrite)
	rest.HandleFunc("POST /Thingworx/Things/{thing}/Events/{event}", p.restEvent)
	rest.HandleFunc("POST /Thingworx/{collection}/{entity}/Services/{service}", p.restService)
	rest.HandleFunc("POST /Thingworx/Importer", p.restImport)

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
	p.restAnswer(w, ok(alwayson.NewTable(table)))
}

func (p *Platform) restRead(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("property")
	p.restCall(w, r, alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, r.PathValue("thing"), name, nil))
}

func (p *Platform) restWrite(w http.ResponseWriter, r *http.Request) {
	raw, ok := p.restBody(w, r)
	if !ok {
		return
	}
	content := alwayson.OneRow(alwayson.Named{Name: "_content_", Value: alwayson.NewText(alwayson.TypeJSON, string(raw))})
	p.restCall(w, r, alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, r.PathValue("thing"), r.PathValue("property"), content))
}

func (p *Platform) restEvent(w http.ResponseWriter, r *http.Request) {
	data, ok := p.restParams(w, r, nil)
	if ok {
		p.restCall(w, r, alwayson.Post, alwayson.EventRequest(r.PathValue("thing"), r.PathValue("event"), data))
	}
}

func (p *Platform) restService(w http.ResponseWriter, r *http.Request) {
	et, known := alwayson.ParseEntityCollection(r.PathValue("collection"))
	if !known {
		http.Error(w, "no such collection: "+r.PathValue("collection"), http.StatusNotFound)
		return
	}
	entity, name := r.PathValue("entity"), r.PathValue("service")
	var declared []alwayson.FieldDefinition
	if et == alwayson.EntityThing {
		t := p.lookup(entity)
		if t == nil {
			p.restAnswer(w, fail(alwayson.NotFound, "thing [%s] does not exist", entity))
			return
		}
		declared = t.inputsOf(name)
	}
	in, ok := p.restParams(w, r, declared)
	if ok {
		p.restCall(w, r, alwayson.Post, alwayson.ServiceRequest(et, entity, name, in))
	}
}

// inputsOf gives the declared inputs of a service; none if it is not declared.
func (t *thing) inputsOf(name string) []alwayson.FieldDefinition {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.services[name]; s != nil {
		return s.def.Inputs
	}
	return nil
}

// restCall carries out a request and answers with its response.
func (p *Platform) restCall(w http.ResponseWriter, r *http.Request, method alwayson.Code, req *alwayson.Request) {
	resp, err := p.Call(r.Context(), method, req)
	if err != nil { // the caller left, or the platform stops
		http.Error(w, "the request was given up: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	p.restAnswer(w, resp)
}

// restAnswer writes a response the way a platform does: a table as JSON, no
// result as 200 with an empty body, an error as its class with the reason as text.
func (p *Platform) restAnswer(w http.ResponseWriter, resp *alwayson.Response) {
	if !resp.Code.IsSuccess() {
		reason := resp.Reason
		if reason == "" {
			reason = alwayson.Result(resp.Content, "reason").Unwrap().Text()
		}
		if reason == "" {
			reason = resp.Code.String()
		}
		http.Error(w, reason, resp.Code.HTTPStatus())
		return
	}
	content := resp.Content.Unwrap()
	if content.IsNothing() {
		w.WriteHeader(http.StatusOK)
		return
	}
	table := content.Table()
	if table == nil {
		table = alwayson.NewResult(content)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(appendTableJSON(nil, table))
}

const jsonDepth = 64 // nesting of a REST body

// restBody reads a JSON object; false: the answer is written.
func (p *Platform) restBody(w http.ResponseWriter, r *http.Request) (json.RawMessage, bool) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(p.opts.MaxMessage)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "body is larger than the maximum message size", http.StatusRequestEntityTooLarge)
		return nil, false
	case err != nil:
		http.Error(w, "read body: "+err.Error(), http.StatusBadRequest)
		return nil, false
	case len(strings.TrimSpace(string(raw))) == 0:
		return json.RawMessage("{}"), true
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return nil, false
	}
	if !shallow(raw, jsonDepth) || !json.Valid(raw) || infer(raw) == alwayson.TypeNothing || strings.TrimSpace(string(raw))[0] != '{' {
		http.Error(w, "body is no JSON object", http.StatusBadRequest)
		return nil, false
	}
	return raw, true
}

// shallow says that JSON is not nested deeper than limit.
func shallow(raw []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// restParams reads the parameters of a service from a JSON object: declared
// ones by their base type, in the order of their declaration, others by their looks.
func (p *Platform) restParams(w http.ResponseWriter, r *http.Request, declared []alwayson.FieldDefinition) (*alwayson.InfoTable, bool) {
	raw, ok := p.restBody(w, r)
	if !ok {
		return nil, false
	}
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &given); err != nil {
		http.Error(w, "body is no JSON object: "+err.Error(), http.StatusBadRequest)
		return nil, false
	}
	var cells []alwayson.Named
	add := func(f alwayson.FieldDefinition, text json.RawMessage) bool {
		v, fits := fromJSON(text, f)
		if !fits {
			http.Error(w, "parameter ["+f.Name+"] does not fit base type "+f.Type.String(), http.StatusBadRequest)
			return false
		}
		cells = append(cells, alwayson.Named{Name: f.Name, Value: v})
		return true
	}
	for _, f := range declared {
		if text, has := given[f.Name]; has {
			delete(given, f.Name)
			if !add(f, text) {
				return nil, false
			}
		}
	}
	for _, name := range sortedKeys(given) {
		if !add(alwayson.FieldDefinition{Name: name, Type: alwayson.TypeVariant}, given[name]) {
			return nil, false
		}
	}
	return alwayson.OneRow(cells...), true
}
