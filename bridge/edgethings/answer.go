package edgethings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// This file reads what agents answer. They write results in several ways: as
// the platform's REST does ({"dataShape", "rows"}), as bare JSON, or as text.

// agentError makes the platform's answer of an agent's status that is no success.
func agentError(thing string, a *answer) *alwayson.Response {
	text := reasonOf(a)
	switch a.status {
	case http.StatusUnauthorized:
		return alwayson.Fail(alwayson.BadGateway, fmt.Sprintf("%s: %s", thing, refusesLogIn))
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return alwayson.Fail(4<<5|alwayson.Code(a.status-400), text)
	case http.StatusInternalServerError, http.StatusNotImplemented, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return alwayson.Fail(5<<5|alwayson.Code(a.status-500), text)
	}
	if a.status/100 == 4 {
		return alwayson.Fail(alwayson.BadRequest, fmt.Sprintf("%s (%d)", text, a.status))
	}
	return alwayson.Fail(alwayson.BadGateway, fmt.Sprintf("%s (%d)", text, a.status))
}

// reasonOf is the text of an error: the body where it is one.
func reasonOf(a *answer) string {
	const most = 500
	text := strings.TrimSpace(string(a.body))
	var quoted string
	if json.Unmarshal(a.body, &quoted) == nil {
		text = quoted
	}
	if text == "" || !utf8.ValidString(text) || strings.Contains(a.kind, "html") {
		return fmt.Sprintf("the agent answered %d %s", a.status, http.StatusText(a.status))
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// serviceResult makes the answer to a service call.
func serviceResult(thing string, a *answer) *alwayson.Response {
	v, bad := result(a)
	switch {
	case bad != "":
		return unusable(thing, bad)
	case v.IsNothing() || v.Type() == alwayson.TypeInfoTable:
		return alwayson.OK(v)
	}
	return alwayson.OK(alwayson.NewTable(alwayson.NewResult(v)))
}

func unusable(thing, why string) *alwayson.Response {
	return alwayson.Fail(alwayson.BadGateway, fmt.Sprintf("the answer of the agent of %s cannot be used: %s", thing, why))
}

// result reads a body as a service's result: nothing, a table, JSON by its
// looks, {"result": …} for what it holds, or text.
func result(a *answer) (v alwayson.Value, bad string) {
	raw := json.RawMessage(bytes.TrimSpace(a.body))
	if len(raw) == 0 {
		return alwayson.Value{}, ""
	}
	if !isJSON(raw) {
		if !utf8.Valid(raw) {
			return alwayson.Value{}, "it is neither JSON nor text in UTF-8"
		}
		return alwayson.NewString(string(a.body)), ""
	}
	if table, ok, bad := tableOf(raw); ok || bad != "" {
		return alwayson.NewTable(table), bad
	}
	if object := members(raw); len(object) == 1 && object["result"] != nil {
		raw = object["result"]
	}
	return value(raw)
}

// maxDepth bounds the nesting of an answer.
const maxDepth = 64

// isJSON reports whether raw is JSON that is not nested too deep.
func isJSON(raw []byte) bool {
	return restjson.Shallow(raw, maxDepth) && utf8.Valid(raw) && json.Valid(raw)
}

// members takes a JSON object apart; nil for anything else.
func members(raw json.RawMessage) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &object) != nil {
		return nil
	}
	return object
}

// tableOf reads an info table in the platform's form; ok: it is one.
func tableOf(raw json.RawMessage) (table *alwayson.InfoTable, ok bool, bad string) {
	object := members(raw)
	rows := object["rows"]
	if len(rows) == 0 || rows[0] != '[' {
		return nil, false, ""
	}
	for name := range object {
		if !slices.Contains([]string{"rows", "dataShape", "fieldDefinitions", "name", "description"}, name) {
			return nil, false, ""
		}
	}
	v, err := restjson.Value(raw, alwayson.FieldDefinition{Type: alwayson.TypeInfoTable})
	if err != nil {
		return nil, false, err.Error()
	}
	return v.Table(), true, ""
}

func value(raw json.RawMessage) (alwayson.Value, string) {
	if table, ok, bad := tableOf(raw); ok || bad != "" {
		return alwayson.NewTable(table), bad
	}
	v, err := restjson.Value(raw, alwayson.FieldDefinition{Type: alwayson.TypeVariant})
	if err != nil {
		return alwayson.Value{}, err.Error()
	}
	return v.Unwrap(), ""
}

// propertyValue makes the answer to the reading of one property.
func propertyValue(thing, name string, a *answer) *alwayson.Response {
	v, bad := property(name, a)
	if bad != "" {
		return unusable(thing, bad)
	}
	return alwayson.OK(alwayson.NewTable(alwayson.OneRow(alwayson.Named{Name: name, Value: v})))
}

// property reads a body as the value of a property: the column of that name
// in a table or object, else value, result, or what alone is there.
func property(name string, a *answer) (v alwayson.Value, bad string) {
	raw := json.RawMessage(bytes.TrimSpace(a.body))
	if !isJSON(raw) {
		return result(a)
	}
	table, ok, bad := tableOf(raw)
	if bad != "" {
		return alwayson.Value{}, bad
	}
	if !ok {
		return propertyJSON(name, raw)
	}
	for _, column := range []string{name, "value", "result"} {
		if i := table.Column(column); i >= 0 && len(table.Rows) > 0 {
			return table.At(0, i).Unwrap(), ""
		}
	}
	if len(table.Fields) == 1 && len(table.Rows) == 1 {
		return table.At(0, 0).Unwrap(), ""
	}
	return alwayson.Value{}, fmt.Sprintf("its table has no row with a field %q", name)
}

// propertyJSON reads {"name": …}, {"value": …, "time": …}, or a bare value.
func propertyJSON(name string, raw json.RawMessage) (alwayson.Value, string) {
	object := members(raw)
	if v, ok := object[name]; ok && len(object) <= 2 {
		raw, object = v, members(v)
	}
	if v, ok := timed(object); ok {
		return v, ""
	}
	return value(raw)
}

// timed reads a value with its time and quality, as a Lua Script Resource lists
// them: {"value": …, "baseType": …, "time": …, …}.
func timed(object map[string]json.RawMessage) (alwayson.Value, bool) {
	raw, ok := object["value"]
	if !ok || len(object) > 1 && object["time"] == nil && object["quality"] == nil && object["baseType"] == nil {
		return alwayson.Value{}, false
	}
	f := alwayson.FieldDefinition{Type: alwayson.TypeVariant}
	var name string
	if json.Unmarshal(object["baseType"], &name) == nil {
		if t, known := alwayson.ParseBaseType(name); known {
			f.Type = t
		}
	}
	if v, err := restjson.Value(raw, f); err == nil {
		return v.Unwrap(), true
	}
	v, bad := value(raw)
	return v, bad == ""
}

// propertyRow makes the answer to the reading of all properties: a row with a
// field for each.
func propertyRow(thing string, a *answer) *alwayson.Response {
	raw := json.RawMessage(bytes.TrimSpace(a.body))
	if !isJSON(raw) {
		return unusable(thing, "it is not JSON, but the properties are expected")
	}
	table, ok, bad := tableOf(raw)
	object := members(raw)
	switch {
	case bad != "":
		return unusable(thing, bad)
	case ok:
		return alwayson.OK(alwayson.NewTable(table))
	case object == nil:
		return unusable(thing, "an object with the properties is expected")
	}
	var row []alwayson.Named
	for _, name := range sortedNames(object) {
		v, isTimed := timed(members(object[name]))
		if !isTimed {
			if v, bad = value(object[name]); bad != "" {
				return unusable(thing, fmt.Sprintf("property %q: %s", name, bad))
			}
		}
		row = append(row, alwayson.Named{Name: name, Value: v})
	}
	return alwayson.OK(alwayson.NewTable(alwayson.OneRow(row...)))
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// metadata makes the answer to GetMetadata. An agent that has no such service
// declares nothing, and the platform's user can still browse the Thing.
func metadata(thing string, a *answer, failed *alwayson.Response) *alwayson.Response {
	m := alwayson.Metadata{Name: thing}
	if failed != nil {
		switch failed.Code {
		case alwayson.NotFound, alwayson.MethodNotAllowed, alwayson.NotImplemented, alwayson.BadRequest, alwayson.InternalServerError:
		default:
			return failed
		}
	} else if text := metadataText(a); text != "" {
		read, err := alwayson.ParseMetadata([]byte(text))
		if err != nil {
			return unusable(thing, err.Error())
		}
		m = read
		m.Name = thing
	}
	return alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewText(alwayson.TypeJSON, string(m.JSON())))))
}

// metadataText finds the definitions in an answer: they are the body, or the
// text or object that is its result.
func metadataText(a *answer) string {
	v, bad := result(a)
	if bad != "" {
		return string(a.body)
	}
	if table := v.Table(); table != nil {
		v = alwayson.Result(v, "result")
	}
	if v.Type().IsText() {
		return v.Text()
	}
	return ""
}
