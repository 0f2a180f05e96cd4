package mapping

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"thingbridge/edge/alwayson"
)

const (
	maxNameLength  = 255 // characters of a platform entity name
	longNameBytes  = 127 // above it some platform parts truncate or refuse
	replacementFor = '_'
)

// ThingName makes a Thing name that the platform accepts out of raw.
//
// The rule: each of + / : * " < >, each control character, emoji and other
// symbol outside the basic plane, and each byte that is not UTF-8 becomes "_";
// spaces at the ends are cut, runs of white space become one space; the name
// "me" (in any case) becomes "me_". Other names stay as they are, so names of
// letters, digits, "-", "_", "." and single spaces map one to one. Two
// different texts can become one name only where a character was replaced;
// Engine.Put then refuses the second with a ClashError. An error says that
// nothing is left or that the name is over 255 characters.
func ThingName(raw string) (string, error) {
	name := raw
	if !plainName(raw) {
		name = replaceInName(raw)
	}
	if strings.EqualFold(name, "me") {
		name += "_"
	}
	if name == "" {
		return "", errors.New("the Thing name is empty")
	}
	if n := utf8.RuneCountInString(name); n > maxNameLength {
		return "", fmt.Errorf("the Thing name has %d characters; the platform takes %d", n, maxNameLength)
	}
	return name, nil
}

// plainName reports the common case: nothing to replace.
func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func replaceInName(raw string) string {
	var b strings.Builder
	space := false
	for _, r := range raw {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		if strings.ContainsRune(`+/:*"<>`, r) || !unicode.IsPrint(r) || r == utf8.RuneError || r > 0xFFFF || isSymbol(r) {
			r = replacementFor
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isSymbol reports pictographs of the basic plane: arrows, dingbats, symbols.
func isSymbol(r rune) bool {
	return r >= 0x2190 && r <= 0x2BFF || r == 0xFE0F || r == 0x200D || r == 0x20E3
}

// CheckThingName says why the platform would not accept a Thing name, or nil.
func CheckThingName(name string) error {
	made, err := ThingName(name)
	if err != nil {
		return err
	}
	if made != name {
		return fmt.Errorf("the platform does not accept the Thing name %q; %q would do", name, made)
	}
	return nil
}

// LongThingName reports whether a name is over the 127 bytes that every part of
// the platform is known to keep. Such a name is accepted; whoever takes the
// Thing in should warn.
func LongThingName(name string) bool { return len(name) > longNameBytes }

// PropertyName makes the platform's name of a property out of the device's own.
//
// The rule: a Thing has properties of its own (alwayson.SystemProperty), and a
// device's property of such a name gets one "_" behind it: "name" becomes "name_".
// So that no two become one, what ends with "_" already gets one more: "name_"
// becomes "name__". Every other name stays as it is.
func PropertyName(own string) string {
	if alwayson.SystemProperty(strings.TrimRight(own, "_")) {
		return own + "_"
	}
	return own
}

// ownName gives the device's own name of a property that the platform names; false
// for the platform's own, which are no device's.
func ownName(property string) (string, bool) {
	if !alwayson.SystemProperty(strings.TrimRight(property, "_")) {
		return property, true
	}
	return strings.CutSuffix(property, "_")
}

// CheckMemberName says why a property, service, event or field cannot have the
// name, or nil: 1 to 255 characters of UTF-8, no control characters, no space
// at the ends. Names are case-sensitive and may hold dots.
func CheckMemberName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case len(name) > maxNameLength && utf8.RuneCountInString(name) > maxNameLength:
		return fmt.Errorf("the name has more than %d characters", maxNameLength)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q starts or ends with a space", name)
	}
	for i := 0; i < len(name); i++ {
		if name[i] < 0x20 || name[i] == 0x7f {
			return fmt.Errorf("the name %q holds a control character", name)
		}
	}
	return nil
}
