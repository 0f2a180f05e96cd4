package config

import (
	"slices"
	"strings"
	"testing"

	"thingbridge/mapping"
)

const pumpProfile = `profiles:
  - name: pump
    parameters: {base: "plant-${env:CONFIG_TEST_KEY}"}
    thing: pump-${id}
    announce: {topic: "${base}/{id}/hello"}
`

func TestReferencesInAProfilesParametersAreFilled(t *testing.T) {
	t.Setenv("CONFIG_TEST_KEY", "seven")
	c := parseGood(t, good+pumpProfile)
	filters := mapping.NewEngine(c.Profiles, mapping.Options{}).Filters()
	if want := "plant-seven/+/hello"; !slices.Contains(filters, want) {
		t.Errorf("filters %q, want %q among them", filters, want)
	}
	out, err := Print(c)
	if err != nil || !strings.Contains(string(out), "${env:CONFIG_TEST_KEY}") {
		t.Errorf("the reference is not printed as it was written (%v):\n%s", err, out)
	}
}

func TestAMissingReferenceInAProfileHasItsPlace(t *testing.T) {
	_, problems := Parse([]byte(good+strings.Replace(pumpProfile, "CONFIG_TEST_KEY", "CONFIG_TEST_NOT_SET", 1)), Options{File: "test.yaml"})
	if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "test.yaml:10:24: profiles[0].parameters.base: read ${env:CONFIG_TEST_NOT_SET}: ") {
		t.Errorf("problems %v", problems)
	}
}

func TestProblemsOfProfilesComeWithTheOthers(t *testing.T) {
	_, problems := Parse([]byte("log: {level: loud}\n"+good+pumpProfile+"    services: {Go: {request: {topic: x}, timeout: 26s}}\n    nonsense: 1\n"), Options{File: "test.yaml"})
	var text []string
	for _, p := range problems {
		text = append(text, p.String())
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"test.yaml:1:14: log.level", "profiles[0].services.Go.timeout", "profiles[0].nonsense"} {
		if !strings.Contains(all, want) {
			t.Errorf("no problem of %s in\n%s", want, all)
		}
	}
}

func TestWithoutProfilesThereIsNative(t *testing.T) {
	for name, text := range map[string]string{"no key": "", "an empty key": "profiles:\n"} {
		t.Run(name, func(t *testing.T) {
			c := parseGood(t, good+text)
			if filters := mapping.NewEngine(c.Profiles, mapping.Options{}).Filters(); !slices.Contains(filters, "things/+/announce") {
				t.Errorf("filters %q", filters)
			}
		})
	}
}
