package restjson

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
)

// Root is the first part of every path.
const Root = "Thingworx"

// maxEntity is the longest entity name of a platform, in characters.
const maxEntity = 255

// Problem is a request that cannot be served, with its HTTP status.
type Problem struct {
	Status int
	Text   string
}

func (p *Problem) Error() string { return p.Text }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Text: fmt.Sprintf(format, args...)}
}

// Target is what a path names: the properties, a service or an event of an entity.
type Target struct {
	Type           alwayson.EntityType
	Entity         string // name, or "*" and an identifier
	Characteristic alwayson.Characteristic
	Name           string // of the property ("" or "*": all), service or event
}

var characteristics = []alwayson.Characteristic{alwayson.Properties, alwayson.Services, alwayson.Events}

// ParseCharacteristic reads "Properties", "Services" or "Events", in any case.
func ParseCharacteristic(name string) (alwayson.Characteristic, bool) {
	for _, c := range characteristics {
		if strings.EqualFold(c.String(), name) {
			return c, true
		}
	}
	return 0, false
}

// ParsePath reads the path of a request as it was sent, that is with its percent
// signs (url.URL.EscapedPath), so that a name may hold any character. A final
// slash does not matter.
func ParsePath(escaped string) (Target, *Problem) {
	segments, bad := split(escaped)
	switch {
	case bad != nil:
		return Target{}, bad
	case len(segments) == 0 || !strings.EqualFold(segments[0], Root):
		return Target{}, problem(http.StatusNotFound, "nothing here: paths begin with /%s", Root)
	case len(segments) < 2:
		return Target{}, shapeProblem()
	}
	t := Target{}
	known := false
	if t.Type, known = alwayson.ParseEntityCollection(segments[1]); !known {
		return Target{}, problem(http.StatusNotFound, "no such collection: %s", segments[1])
	}
	if len(segments) < 4 || len(segments) > 5 {
		return Target{}, shapeProblem()
	}
	if t.Characteristic, known = ParseCharacteristic(segments[3]); !known {
		return Target{}, problem(http.StatusNotFound, "%s is none of Properties, Services, Events", segments[3])
	}
	t.Entity = segments[2]
	if len(segments) == 5 {
		t.Name = segments[4]
	} else if t.Characteristic != alwayson.Properties {
		return Target{}, shapeProblem()
	}
	if n := utf8.RuneCountInString(t.Entity); n > maxEntity {
		return Target{}, problem(http.StatusBadRequest, "the name of the %s has %d characters; a platform's have %d at most", t.Type, n, maxEntity)
	}
	return t, nil
}

func shapeProblem() *Problem {
	return problem(http.StatusNotFound, "nothing here; expected /%s/{Things, Resources, …}/{name}/ and then Properties, Properties/{property}, Services/{service} or Events/{event}", Root)
}

// split gives the parts of a path, decoded one by one.
func split(escaped string) ([]string, *Problem) {
	escaped = strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/")
	if escaped == "" {
		return nil, nil
	}
	parts := strings.Split(escaped, "/")
	for i, part := range parts {
		name, err := url.PathUnescape(part)
		switch {
		case err != nil:
			return nil, problem(http.StatusBadRequest, "path: %q is not percent-encoded as it should be", part)
		case name == "":
			return nil, problem(http.StatusNotFound, "nothing here: a name in the path is empty")
		case !utf8.ValidString(name):
			return nil, problem(http.StatusBadRequest, "path: %q is not UTF-8", part)
		case strings.ContainsRune(name, 0):
			return nil, problem(http.StatusBadRequest, "path: %q holds a NUL", part)
		}
		parts[i] = name
	}
	return parts, nil
}

// All reports whether t is all properties of its entity.
func (t Target) All() bool {
	return t.Characteristic == alwayson.Properties && (t.Name == "" || t.Name == alwayson.AllProperties)
}

// Allow is what the HTTP header of that name says: the methods that t takes.
func (t Target) Allow() string {
	if t.Characteristic == alwayson.Properties {
		return "GET, HEAD, PUT, OPTIONS"
	}
	return "POST, OPTIONS"
}

// Method gives the AlwaysOn method that an HTTP method on t is, or the problem
// that it has none: then the answer needs the header Allow.
func (t Target) Method(method string) (alwayson.Code, *Problem) {
	properties := t.Characteristic == alwayson.Properties
	switch {
	case properties && (method == http.MethodGet || method == http.MethodHead):
		return alwayson.Get, nil
	case properties && method == http.MethodPut:
		return alwayson.Put, nil
	case !properties && method == http.MethodPost:
		return alwayson.Post, nil
	case properties:
		return 0, problem(http.StatusMethodNotAllowed, "a property is read with GET and written with PUT")
	case t.Characteristic == alwayson.Services:
		return 0, problem(http.StatusMethodNotAllowed, "a service is called with POST")
	}
	return 0, problem(http.StatusMethodNotAllowed, "an event is fired with POST")
}

// Request gives t with parameters.
func (t Target) Request(params *alwayson.InfoTable) *alwayson.Request {
	return &alwayson.Request{EntityType: t.Type, Entity: t.Entity, Characteristic: t.Characteristic, Name: t.Name, Params: params}
}
