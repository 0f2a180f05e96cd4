package permit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// Rule lets requests to the platform's REST through. Its text is
//
//	[METHOD ]COLLECTION[/ENTITY[/CHARACTERISTIC[/NAME]]]
//
// for example "Things/pump-*/Services/*", "GET Things/*/Properties" or
// "Resources/SearchFunctions/Services/SearchModelEntities". COLLECTION and CHARACTERISTIC
// (Properties, Services, Events) are names or "*"; in ENTITY and NAME * stands
// for any run of characters and ? for one. What is left out means all. Names of
// collections and entities are compared without case, as the platform does,
// names of properties, services and events with case. ApplicationKeys are not
// among all collections: a rule for them has to name them.
type Rule struct {
	method         alwayson.Code           // 0: all
	collection     alwayson.EntityType     // 0: all
	characteristic alwayson.Characteristic // 0: all
	entity, name   string
}

// RuleForm says in words how a rule is written.
const RuleForm = "[GET |PUT |POST ]COLLECTION/NAME/Properties|Services|Events/NAME, for example Things/pump-*/Services/*"

var methods = map[string]alwayson.Code{http.MethodGet: alwayson.Get, http.MethodPut: alwayson.Put, http.MethodPost: alwayson.Post}

// ParseRule reads a rule's text.
func ParseRule(text string) (Rule, error) {
	r := Rule{entity: "*", name: "*"}
	path := text
	if method, rest, has := strings.Cut(text, " "); has && methods[method] != 0 {
		r.method, path = methods[method], rest
	}
	parts := strings.Split(path, "/")
	bad := func(format string, args ...any) (Rule, error) {
		return Rule{}, fmt.Errorf("%q: %s", text, fmt.Sprintf(format, args...))
	}
	switch {
	case strings.HasPrefix(path, "/"):
		return bad("it begins with a slash; leave /%s/ out", restjson.Root)
	case len(parts) > 4:
		return bad("it has more than four parts")
	case slices.Contains(parts, ""):
		return bad("a part is empty")
	case slices.ContainsFunc(parts, func(p string) bool { return strings.TrimSpace(p) != p }):
		return bad("a part has space around it")
	}
	known := true
	if parts[0] != "*" {
		if r.collection, known = alwayson.ParseEntityCollection(parts[0]); !known {
			return bad("%q is no collection", parts[0])
		}
	}
	if len(parts) > 1 {
		r.entity = strings.ToLower(parts[1])
	}
	if len(parts) > 2 && parts[2] != "*" {
		if r.characteristic, known = restjson.ParseCharacteristic(parts[2]); !known {
			return bad("%q is none of Properties, Services, Events", parts[2])
		}
	}
	if len(parts) > 3 {
		r.name = parts[3]
	}
	return r, r.possible(text)
}

// possible finds rules that can let nothing through.
func (r Rule) possible(text string) error {
	properties := r.characteristic == alwayson.Properties
	if r.method == 0 || r.characteristic == 0 || properties == (r.method != alwayson.Post) {
		return nil
	}
	return fmt.Errorf("%q lets nothing through: properties are read with GET and written with PUT, services and events take POST", text)
}

// Rules are a list of which any one may let a request through. Without any,
// nothing is let through.
type Rules []Rule

// ParseRules reads a list of rules; the error is of the first that cannot be read.
func ParseRules(texts []string) (Rules, error) {
	rules := make(Rules, 0, len(texts))
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// Request reports whether a request is let through. One for all properties needs
// a rule for every property. A write needs one for each property that its body
// names, whatever its path says: the platform writes those.
func (rs Rules) Request(method alwayson.Code, req *alwayson.Request) bool {
	names := []string{req.Name}
	if method == alwayson.Put {
		written, readable := writtenBy(req.Params)
		switch {
		case !readable:
			return false
		case allProperties(req.Characteristic, req.Name) && len(written) > 0:
			names = written
		default:
			names = append(names, written...)
		}
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !rs.one(method, req, name) })
}

func allProperties(c alwayson.Characteristic, name string) bool {
	return c == alwayson.Properties && (name == "" || name == alwayson.AllProperties)
}

// writtenBy gives the names of the properties that the parameters of a PUT write.
func writtenBy(params *alwayson.InfoTable) (names []string, readable bool) {
	if params == nil {
		return nil, true
	}
	for i, f := range params.Fields {
		if f.Name != alwayson.ContentField {
			names = append(names, f.Name)
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(params.At(0, i).Text()), &object) != nil {
			return nil, false
		}
		for name := range object {
			names = append(names, name)
		}
	}
	return names, true
}

// one reports whether a rule lets the request through as one for that name.
func (rs Rules) one(method alwayson.Code, req *alwayson.Request, name string) bool {
	entity := strings.ToLower(req.Entity)
	all := allProperties(req.Characteristic, name)
	return slices.ContainsFunc(rs, func(r Rule) bool {
		switch {
		case r.method != 0 && r.method != method,
			r.collection != 0 && r.collection != req.EntityType,
			r.collection == 0 && req.EntityType == alwayson.EntityApplicationKey,
			r.characteristic != 0 && r.characteristic != req.Characteristic,
			!Match(r.entity, entity):
			return false
		case all:
			return strings.Trim(r.name, "*") == ""
		}
		return Match(r.name, name)
	})
}
