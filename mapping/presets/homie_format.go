package presets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"thingbridge/mapping"
)

// homieSpec is a datatype with its format.
type homieSpec struct {
	version        int
	datatype, base string // base is the platform's type
	min, max, step *float64
	values, colors []string
	labels         []string // what false and true mean
}

var homieBases = map[string]string{
	"integer": "LONG", "float": "NUMBER", "boolean": "BOOLEAN", "string": "STRING", "enum": "STRING", "color": "STRING",
	"datetime": "DATETIME", "duration": "STRING", "json": "JSON",
}

// homieSince5 are the datatypes that version 4 does not have.
var homieSince5 = []string{"datetime", "duration", "json"}

func parseHomieFormat(version int, datatype, format string) (*homieSpec, error) {
	s := &homieSpec{version: version, datatype: datatype, base: homieBases[datatype]}
	if s.base == "" || version < 5 && slices.Contains(homieSince5, datatype) {
		return nil, fmt.Errorf("the datatype %.40q is not known", datatype)
	}
	var err error
	switch datatype {
	case "integer", "float":
		err = s.numbers(format)
	case "enum":
		err = s.enum(format)
	case "color":
		err = s.color(format)
	case "boolean":
		if labels := strings.Split(format, ","); len(labels) == 2 && version >= 5 && format != "false,true" {
			s.labels = labels
		}
	}
	// A JSON schema is not looked at: drafts and their regular expressions differ, and
	// the convention has it ignored where it is not understood.
	if err != nil {
		return nil, fmt.Errorf("the format %.60q: %w", format, err)
	}
	return s, nil
}

// numbers reads min:max[:step] with open ends.
func (s *homieSpec) numbers(format string) error {
	if format == "" {
		return nil
	}
	parts := strings.Split(format, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return errors.New("min:max or min:max:step is wanted")
	}
	for i, into := range []**float64{&s.min, &s.max, &s.step} {
		if i >= len(parts) || parts[i] == "" {
			continue
		}
		f, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || s.datatype == "integer" && f != math.Trunc(f) {
			return fmt.Errorf("%.30q is not of type %s", parts[i], s.datatype)
		}
		*into = &f
	}
	switch {
	case s.min != nil && s.max != nil && *s.min > *s.max:
		return errors.New("the minimum is over the maximum")
	case s.step != nil && *s.step <= 0:
		return errors.New("the step must be over 0")
	}
	if s.datatype == "integer" && s.min != nil && s.max != nil && *s.min >= math.MinInt32 && *s.max <= math.MaxInt32 {
		s.base = "INTEGER"
	}
	return nil
}

// enum reads a list of texts. Before version 5 two commas stand for one, and
// white space around does not count.
func (s *homieSpec) enum(format string) error {
	const mark = "\x00"
	list := format
	if s.version < 5 {
		list = strings.ReplaceAll(list, ",,", mark)
	}
	for _, v := range strings.Split(list, ",") {
		if s.version < 5 {
			v = strings.TrimSpace(strings.ReplaceAll(v, mark, ","))
		}
		if v == "" {
			return errors.New("a list of texts is wanted, none of them empty")
		}
		if !slices.Contains(s.values, v) {
			s.values = append(s.values, v)
		}
	}
	return nil
}

func (s *homieSpec) color(format string) error {
	known := []string{"rgb", "hsv", "xyz"}
	if s.version < 5 {
		known = known[:2]
	}
	for _, c := range strings.Split(format, ",") {
		if !slices.Contains(known, c) {
			return fmt.Errorf("one or more of %s is wanted", strings.Join(known, ", "))
		}
		s.colors = append(s.colors, c)
	}
	return nil
}

// remembered is what the preset's expressions see of the property.
func (s *homieSpec) remembered() map[string]any {
	m := map[string]any{"kind": s.datatype, "version": s.version}
	for key, f := range map[string]*float64{"min": s.min, "max": s.max, "step": s.step} {
		if f != nil {
			m[key] = *f
		}
	}
	if s.values != nil {
		m["values"] = anyTexts(s.values)
	}
	if s.colors != nil {
		m["colors"] = anyTexts(s.colors)
	}
	return m
}

func anyTexts(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// homieText: homieText(value, device.props[name]) is what is sent for a value; an
// error says why it must not be sent.
func homieText(p ...any) (any, error) {
	if len(p) != 2 {
		return nil, refuse("homieText takes a value and what is remembered of its property")
	}
	prop, ok := p[1].(map[string]any)
	if !ok {
		return nil, refuse("the device has not described it")
	}
	kind, _ := prop["kind"].(string)
	switch kind {
	case "integer", "float":
		return homieNumber(p[0], kind, prop)
	case "boolean":
		if b, ok := p[0].(bool); ok {
			return strconv.FormatBool(b), nil
		}
		return nil, refuse("true or false is wanted")
	case "json":
		return homieJSON(p[0])
	}
	text, ok := p[0].(string)
	if !ok {
		return nil, refuse("text is wanted")
	}
	switch kind {
	case "string":
		if text == "" {
			return "\x00", nil // an empty message would clear the topic
		}
		return text, nil
	case "enum":
		if values, _ := prop["values"].([]any); !slices.Contains(values, any(text)) {
			return nil, refuse("%.60q is not one of the permitted values %q", text, values)
		}
		return text, nil
	case "color":
		return text, homieColor(text, prop)
	case "duration":
		if !homieDuration.MatchString(text) || text == "PT" {
			return nil, refuse("a duration such as PT1H30M or PT20S is wanted, not %.60q", text)
		}
	}
	return text, nil
}

var homieDuration = regexp.MustCompile(`^PT(\d{1,18}H)?(\d{1,18}M)?(\d{1,18}(\.\d{1,18})?S)?$`)

func homieNumber(v any, kind string, prop map[string]any) (any, error) {
	var f float64
	var text string
	switch n := v.(type) {
	case int:
		f, text = float64(n), strconv.Itoa(n)
	case float64:
		f, text = n, strconv.FormatFloat(n, 'f', -1, 64)
		if a := math.Abs(n); a >= 1e21 || a != 0 && a < 1e-7 {
			text = strings.Replace(strconv.FormatFloat(n, 'e', -1, 64), "e+", "e", 1)
		}
	}
	switch {
	case text == "" || math.IsInf(f, 0) || math.IsNaN(f):
		return nil, refuse("a number is wanted")
	case kind == "integer" && (f != math.Trunc(f) || strings.Contains(text, "e")):
		return nil, refuse("a whole number is wanted, not %s", text)
	}
	if low, ok := prop["min"].(float64); ok && f < low {
		return nil, refuse("%s is below the minimum %v", text, low)
	}
	if high, ok := prop["max"].(float64); ok && f > high {
		return nil, refuse("%s is over the maximum %v", text, high)
	}
	return text, nil
}

// homieJSON writes a list or an object.
func homieJSON(v any) (any, error) {
	if text, ok := v.(string); ok {
		if json.Unmarshal([]byte(text), &v) != nil {
			return nil, refuse("JSON is wanted")
		}
	}
	switch v.(type) {
	case map[string]any, []any:
	default:
		return nil, refuse("a JSON object or list is wanted")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, refuse("JSON is wanted")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// homieColors are the highest values of a colour's numbers.
var homieColors = map[string][]float64{"rgb": {255, 255, 255}, "hsv": {360, 100, 100}, "xyz": {1, 1}}

// homieColor checks a colour: in version 5 its kind and numbers, before whole
// numbers alone, whose kind the format tells.
func homieColor(text string, prop map[string]any) error {
	parts := strings.Split(text, ",")
	colors, _ := prop["colors"].([]any)
	whole := prop["version"] != 5
	if len(colors) == 0 {
		return refuse("the device has not described its colours")
	}
	kind, _ := colors[0].(string)
	if !whole {
		kind, parts = parts[0], parts[1:]
		if !slices.Contains(colors, any(kind)) {
			return refuse("a colour that begins with one of %v and a comma is wanted, not %.60q", colors, text)
		}
	}
	highest := homieColors[kind]
	limits := make([]string, len(highest))
	for i, h := range highest {
		limits[i] = fmt.Sprintf("0 to %v", h)
	}
	fault := refuse("a colour %s is wanted, numbers %s with commas between, not %.60q", kind, strings.Join(limits, ", "), text)
	if len(parts) != len(highest) {
		return fault
	}
	for i, p := range parts {
		f, err := strconv.ParseFloat(p, 64)
		if _, notWhole := strconv.ParseUint(p, 10, 32); err != nil || whole && notWhole != nil || !(f >= 0 && f <= highest[i]) {
			return fault
		}
	}
	return nil
}

func refuse(format string, args ...any) error {
	return &mapping.Refusal{Text: fmt.Sprintf(format, args...)}
}
