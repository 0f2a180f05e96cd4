package config

import (
	"reflect"
	"strings"
	"time"
)

// Key is one key of the configuration, as its structs declare it.
type Key struct {
	Path string       // "platform.tls.verify"
	Type reflect.Type // of the field
}

// Keys lists every key that holds a value, in the order of the structs; the
// profiles are not among them.
func Keys() []Key { return appendKeys(nil, "", reflect.TypeFor[Config]()) }

func appendKeys(dst []Key, prefix string, t reflect.Type) []Key {
	for f := range fields(t) {
		path := join(prefix, f.name)
		if isSection(f.typ) {
			dst = appendKeys(dst, path, f.typ)
			continue
		}
		dst = append(dst, Key{path, f.typ})
	}
	return dst
}

type field struct {
	name  string
	typ   reflect.Type
	index int
}

// fields gives the fields of a section that are keys.
func fields(t reflect.Type) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			name := f.Tag.Get("mapstructure")
			if name == "" || name == "-" {
				continue
			}
			if !yield(field{name, f.Type, i}) {
				return
			}
		}
	}
}

var (
	secretType   = reflect.TypeFor[Secret]()
	materialType = reflect.TypeFor[Material]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	versionType  = reflect.TypeFor[TLSVersion]()
	listType     = reflect.TypeFor[[]string]()
)

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != secretType && t != materialType
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// valueOf finds the value of a key in a configuration.
func valueOf(c *Config, path string) any {
	return fieldAt(reflect.ValueOf(c).Elem(), path).Interface()
}

// envName gives the environment variable that sets a key.
func envName(path string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

const envPrefix = "THINGBRIDGE"

// wanted says in words what a key of type t takes.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return `a duration with its unit, for example "30s"`
	case t == sizeType:
		return "a size, for example 64MiB"
	case t == listType:
		return "a text or a list of texts"
	case t == materialType:
		return "the path of a PEM file"
	case t == versionType:
		return `"1.2" or "1.3"`
	case isSection(t):
		return "a mapping with keys: " + strings.Join(fieldNames(t), ", ")
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	default:
		return "a text"
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range fields(t) {
		names = append(names, f.name)
	}
	return names
}

// nearest gives the name that was most likely meant, or "".
func nearest(name string, names []string) string {
	best, bestDistance := "", 1+len(name)/3
	for _, n := range names {
		if d := distance(strings.ToLower(name), n); d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that lead from a to b. Long names are cut: no key is that long.
func distance(a, b string) int {
	a = a[:min(len(a), 64)]
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
