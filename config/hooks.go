package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// valueError says what is wrong with one value.
type valueError struct{ message, expected string }

func (e *valueError) Error() string { return e.message }

// decodeHook turns what the file, the environment or a flag holds into the type
// of a key, and refuses everything else.
func decodeHook(from, to reflect.Type, data any) (any, error) {
	if from == to || from.Kind() == reflect.Map && to.Kind() == reflect.Struct {
		return data, nil
	}
	text, isText := data.(string)
	switch {
	case isText && to == secretType:
		return LiteralSecret(text), nil
	case isText && to == materialType:
		return Material{LiteralSecret(text)}, nil
	case to == listType && isText:
		return splitList(text), nil
	case isText && to.Kind() == reflect.String:
		return text, nil
	case to == durationType:
		return hookDuration(data, text, isText)
	case to == sizeType:
		return hookSize(data, text, isText)
	case to.Kind() == reflect.Bool:
		return hookBool(text, isText, data)
	case to.Kind() == reflect.Int:
		return hookInt(text, isText, data)
	}
	return nil, &valueError{fmt.Sprintf("%v does not fit", data), wanted(to)}
}

func splitList(text string) []string {
	out := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func hookDuration(data any, text string, isText bool) (any, error) {
	if !isText {
		return nil, &valueError{fmt.Sprintf("duration %v has no unit", data), wanted(durationType)}
	}
	d, err := ParseDuration(text)
	if err != nil {
		return nil, &valueError{err.Error(), wanted(durationType)}
	}
	return d, nil
}

func hookSize(data any, text string, isText bool) (any, error) {
	if n, ok := data.(int); ok {
		text, isText = fmt.Sprint(n), true
	}
	if !isText {
		return nil, &valueError{fmt.Sprintf("%v is not a size", data), wanted(sizeType)}
	}
	s, err := ParseSize(text)
	if err != nil {
		return nil, &valueError{err.Error(), wanted(sizeType)}
	}
	return s, nil
}

func hookBool(text string, isText bool, data any) (any, error) {
	switch {
	case isText && text == "true":
		return true, nil
	case isText && text == "false":
		return false, nil
	}
	return nil, &valueError{fmt.Sprintf("%q is neither true nor false", fmt.Sprint(data)), "true or false"}
}

func hookInt(text string, isText bool, data any) (any, error) {
	if n, err := strconv.Atoi(text); isText && err == nil {
		return n, nil
	}
	return nil, &valueError{fmt.Sprintf("%q is not a whole number", fmt.Sprint(data)), "a whole number"}
}
