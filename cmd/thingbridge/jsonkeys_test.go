package main

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"thingbridge/bridge"
	"thingbridge/bridge/console"
)

// What /api/v1 answers has keys of one style: of these types, and of all that they hold.
func TestTheKeysOfTheAPIAreWrittenAlike(t *testing.T) {
	camel := regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	found := map[string]bool{}
	var look func(where string, rt reflect.Type, hidden map[string]bool)
	look = func(where string, rt reflect.Type, hidden map[string]bool) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice || rt.Kind() == reflect.Map {
			rt = rt.Elem()
		}
		own := rt.Implements(reflect.TypeFor[json.Marshaler]()) || rt.Implements(reflect.TypeFor[encoding.TextMarshaler]())
		if rt.Kind() != reflect.Struct || own || strings.Count(where, ".") > 6 {
			return
		}
		keys := map[string]bool{} // they hide those of embedded structs
		for i := range rt.NumField() {
			key, _, _ := strings.Cut(rt.Field(i).Tag.Get("json"), ",")
			keys[key] = true
		}
		for i := range rt.NumField() {
			f := rt.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case key == "-" || hidden[key] || !f.IsExported() && !f.Anonymous:
			case f.Anonymous:
				look(where, f.Type, keys)
			case !camel.MatchString(key):
				t.Errorf("%s: %s has the key %q, which is written in another way than the others", where, f.Name, key)
			default:
				found[key] = true
				look(where+"."+key, f.Type, nil)
			}
		}
	}
	for name, answer := range map[string]any{
		"status": status{}, "thing": thingView{}, "edge thing": edgeThingView{}, "reload": reloadState{}, "log": logState{},
		"config": console.Settings{}, "advice": console.Advice{}, "notice": console.Notice{}, "call": bridge.CallInFlight{}, "link": console.Link{},
	} {
		look(name, reflect.TypeOf(answer), nil)
	}
	for _, key := range []string{"sessionKept", "lastError", "clientId", "lastReload", "push"} {
		if !found[key] {
			t.Errorf("the key %q was not looked at", key)
		}
	}
}
