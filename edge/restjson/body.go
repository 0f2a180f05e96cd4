package restjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
)

const maxDepth = 64 // nesting of a body

// ReadBody reads a JSON object of at most limit bytes; an empty body is one
// without members.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int) (json.RawMessage, *Problem) {
	tooLarge := problem(http.StatusRequestEntityTooLarge, "body is larger than the maximum message size, %d bytes", limit)
	if r.ContentLength > int64(limit) {
		return nil, tooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, problem(http.StatusBadRequest, "read body: %v", err)
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return json.RawMessage("{}"), nil
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, problem(http.StatusUnsupportedMediaType, "Content-Encoding is not taken; send the body as it is")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return raw, checkObject(raw)
}

func checkObject(raw []byte) *Problem {
	switch {
	case !utf8.Valid(raw):
		return problem(http.StatusBadRequest, "body is not UTF-8")
	case raw[0] != '{' || !Shallow(raw, maxDepth) || !json.Valid(raw):
		return problem(http.StatusBadRequest, "body is no JSON object")
	}
	return nil
}

// Shallow reports whether JSON is not nested deeper than limit. It does not
// look whether raw is JSON.
func Shallow(raw []byte, limit int) bool {
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

// Params makes the one row of a service's inputs, or of an event's data, of a
// JSON object: those declared by their base type, in that order, then the
// others by their looks, by name. An info table ({"dataShape", "rows"}) with one row of
// parameters is taken as it is. Nil: none.
func Params(object json.RawMessage, declared []alwayson.FieldDefinition) (*alwayson.InfoTable, *Problem) {
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(object, &given); err != nil {
		return nil, problem(http.StatusBadRequest, "body is no JSON object: %v", err)
	}
	if isTable(given) {
		return rowOf(object)
	}
	var cells []alwayson.Named
	r := newReader()
	take := func(f alwayson.FieldDefinition) *Problem {
		v, err := r.value(given[f.Name], f)
		if err != nil {
			return problem(http.StatusBadRequest, "parameter [%s] %v", f.Name, err)
		}
		cells = append(cells, alwayson.Named{Name: f.Name, Value: v})
		delete(given, f.Name)
		return nil
	}
	for _, f := range declared {
		if _, there := given[f.Name]; there {
			if bad := take(f); bad != nil {
				return nil, bad
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if bad := take(alwayson.FieldDefinition{Name: name, Type: alwayson.TypeVariant}); bad != nil {
			return nil, bad
		}
	}
	return alwayson.OneRow(cells...), nil
}

// isTable reports whether parameters come as an info table with a row of them.
func isTable(given map[string]json.RawMessage) bool {
	var shape struct {
		Fields map[string]json.RawMessage `json:"fieldDefinitions"`
	}
	var rows []json.RawMessage
	return len(given) == 2 && json.Unmarshal(given["dataShape"], &shape) == nil && shape.Fields != nil && json.Unmarshal(given["rows"], &rows) == nil
}

// rowOf makes the parameters of an info table with one row of them.
func rowOf(object json.RawMessage) (*alwayson.InfoTable, *Problem) {
	v, err := Value(object, alwayson.FieldDefinition{Type: alwayson.TypeInfoTable})
	table := v.Table()
	switch {
	case err != nil:
		return nil, problem(http.StatusBadRequest, "parameters: %v", err)
	case len(table.Rows) > 1:
		return nil, problem(http.StatusBadRequest, "parameters: %d rows where one is expected", len(table.Rows))
	case len(table.Rows) == 0:
		return nil, nil
	}
	return table, nil
}

// Content carries a JSON object of properties whose types the writer does not
// know; the platform converts them.
func Content(object json.RawMessage) *alwayson.InfoTable {
	return alwayson.OneRow(alwayson.Named{Name: alwayson.ContentField, Value: alwayson.NewText(alwayson.TypeJSON, string(object))})
}
