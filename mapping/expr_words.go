package mapping

import "regexp"

// conversion is what a function of the library fails with when it is given another kind.
var conversion = regexp.MustCompile(`^interface conversion: interface \{\} is (.+), not (.+)$`)

var kindWords = map[string]string{
	"nil": "nothing", "string": "text", "int": "a number", "float64": "a number", "bool": "true or false",
	"map[string]interface {}": "an object", "[]interface {}": "a list", "[]uint8": "bytes",
}

// inWords says such a failure as ours are said; anything else stays as it is.
func inWords(message string) string {
	m := conversion.FindStringSubmatch(message)
	if m == nil || kindWords[m[1]] == "" || kindWords[m[2]] == "" {
		return message
	}
	return kindWords[m[2]] + " is wanted here, not " + kindWords[m[1]]
}
