package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// controlRoutes adds what a test asks of the simulator itself, without a key:
//
//	GET    /simulator/connections       edge connections and their names
//	GET    /simulator/things            Things as they stand
//	GET    /simulator/pushes?thing=     values pushed to a Thing, oldest first
//	GET    /simulator/events?thing=     events of a Thing, oldest first
//	GET    /simulator/stats             counters
//	GET    /simulator/faults            faults in force
//	POST   /simulator/faults            {"kind", "thing", "for", "delay", "code", "reason"}
//	DELETE /simulator/faults[?id=]      ends one fault or all
func (p *Platform) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /simulator/connections", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.Connections()) })
	mux.HandleFunc("GET /simulator/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.Stats()) })
	mux.HandleFunc("GET /simulator/things", p.controlThings)
	mux.HandleFunc("GET /simulator/pushes", p.controlPushes)
	mux.HandleFunc("GET /simulator/events", p.controlEvents)
	mux.HandleFunc("GET /simulator/faults", p.controlFaults)
	mux.HandleFunc("POST /simulator/faults", p.controlSetFault)
	mux.HandleFunc("DELETE /simulator/faults", p.controlClearFaults)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

// jsonThing is a Thing in GET /simulator/things.
type jsonThing struct {
	Name           string     `json:"name"`
	Identifier     string     `json:"identifier"`
	Template       string     `json:"template"`
	Description    string     `json:"description"`
	Enabled        bool       `json:"enabled"`
	Auto           bool       `json:"auto"`
	Connected      bool       `json:"connected"`
	Synchronised   bool       `json:"synchronised"` // the edge asked for the subscriptions
	LastConnection *time.Time `json:"lastConnection"`
	Properties     []string   `json:"properties"`
	Services       []string   `json:"services"`
	Events         []string   `json:"events"`
}

func (p *Platform) controlThings(w http.ResponseWriter, _ *http.Request) {
	out := []jsonThing{}
	for _, t := range p.Things() {
		j := jsonThing{
			Name: t.Name, Identifier: t.Identifier, Template: t.Template, Description: t.Description,
			Enabled: t.Enabled, Auto: t.Auto, Connected: t.Connected, Synchronised: t.Synchronised,
			Properties: list(t.Properties), Services: list(t.Services), Events: list(t.Events),
		}
		if !t.LastConnection.IsZero() {
			j.LastConnection = &t.LastConnection
		}
		out = append(out, j)
	}
	writeJSON(w, out)
}

// list makes an empty list of none, for JSON.
func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// asked finds the Thing that a query names; nil: the answer is written.
func (p *Platform) asked(w http.ResponseWriter, r *http.Request) *thing {
	name := r.URL.Query().Get("thing")
	t := p.lookup(name)
	if t == nil {
		http.Error(w, fmt.Sprintf("thing %q does not exist; say ?thing=NAME", name), http.StatusNotFound)
	}
	return t
}

// jsonPush is a pushed value in GET /simulator/pushes.
type jsonPush struct {
	Push       uint64          `json:"push"`
	Connection uint64          `json:"connection"`
	Received   time.Time       `json:"received"`
	Name       string          `json:"name"`
	BaseType   string          `json:"baseType"`
	Value      json.RawMessage `json:"value"`
	Time       int64           `json:"time"`
	Quality    string          `json:"quality"`
	Dropped    string          `json:"dropped,omitempty"`
}

func (p *Platform) controlPushes(w http.ResponseWriter, r *http.Request) {
	t := p.asked(w, r)
	if t == nil {
		return
	}
	t.mu.Lock()
	pushes := t.pushes.list()
	t.mu.Unlock()
	out := make([]jsonPush, 0, len(pushes))
	for _, v := range pushes {
		out = append(out, jsonPush{
			Push: v.Push, Connection: v.Connection, Received: v.Received, Name: v.Name, BaseType: v.Value.Type().String(),
			Value: restjson.AppendValue(nil, v.Value), Time: v.Time, Quality: v.Quality, Dropped: v.Dropped,
		})
	}
	writeJSON(w, out)
}

// jsonEvent is an event in GET /simulator/events.
type jsonEvent struct {
	Name     string          `json:"name"`
	Received time.Time       `json:"received"`
	Data     json.RawMessage `json:"data"`
}

func (p *Platform) controlEvents(w http.ResponseWriter, r *http.Request) {
	t := p.asked(w, r)
	if t == nil {
		return
	}
	t.mu.Lock()
	events := t.eventLog.list()
	t.mu.Unlock()
	out := make([]jsonEvent, 0, len(events))
	for _, e := range events {
		out = append(out, jsonEvent{Name: e.Name, Received: e.Received, Data: rowJSON(e.Data)})
	}
	writeJSON(w, out)
}

// rowJSON shows the first row of a table as an object.
func rowJSON(t *alwayson.InfoTable) json.RawMessage {
	row := map[string]json.RawMessage{}
	if t != nil && len(t.Rows) > 0 {
		for i, f := range t.Fields {
			row[f.Name] = restjson.AppendValue(nil, t.At(0, i))
		}
	}
	text, err := json.Marshal(row)
	if err != nil { // every value is valid JSON
		return json.RawMessage("null")
	}
	return text
}

// jsonFault is a fault in /simulator/faults.
type jsonFault struct {
	ID     int       `json:"id,omitempty"`
	Kind   FaultKind `json:"kind"`
	Thing  string    `json:"thing,omitempty"`
	For    string    `json:"for,omitempty"`
	Delay  string    `json:"delay,omitempty"`
	Code   byte      `json:"code,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func (p *Platform) controlFaults(w http.ResponseWriter, _ *http.Request) {
	out := []jsonFault{}
	for _, f := range p.Faults() {
		j := jsonFault{ID: f.ID, Kind: f.Kind, Thing: f.Thing, Code: byte(f.Code), Reason: f.Reason}
		if f.For > 0 {
			j.For = f.For.String()
		}
		if f.Delay > 0 {
			j.Delay = f.Delay.String()
		}
		out = append(out, j)
	}
	writeJSON(w, out)
}

func (p *Platform) controlSetFault(w http.ResponseWriter, r *http.Request) {
	var j jsonFault
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		http.Error(w, "fault: "+err.Error(), http.StatusBadRequest)
		return
	}
	f := Fault{Kind: j.Kind, Thing: j.Thing, Code: alwayson.Code(j.Code), Reason: j.Reason}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"for", j.For, &f.For}, {"delay", j.Delay, &f.Delay}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			http.Error(w, fmt.Sprintf("fault: %s %q; expected a duration like 5s", d.name, d.text), http.StatusBadRequest)
			return
		}
	}
	id, err := p.SetFault(f)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, map[string]int{"id": id})
}

func (p *Platform) controlClearFaults(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("id")
	if text == "" {
		p.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	id, err := strconv.Atoi(text)
	if err != nil || !p.ClearFault(id) {
		http.Error(w, fmt.Sprintf("no fault with id %q", text), http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// abort ends an HTTP connection without an answer.
func (p *Platform) abort(w http.ResponseWriter) {
	if h, hijackable := w.(http.Hijacker); hijackable {
		if nc, _, err := h.Hijack(); err == nil {
			_ = nc.Close()
			return
		}
	}
	http.Error(w, "cut on command", http.StatusServiceUnavailable)
}
