package main

import (
	"os"
	"strings"
	"testing"
)

// TestTheCasesTryTheExamples keeps the cases and the examples alike.
func TestTheCasesTryTheExamples(t *testing.T) {
	for example, tried := range map[string]string{"profile.yaml": "acme-pump.txtar", "sensors.yaml": "sensors.txtar"} {
		text, err := os.ReadFile("../../examples/" + example)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := os.ReadFile("testdata/cases/" + tried)
		if err != nil {
			t.Fatal(err)
		}
		_, profiles, found := strings.Cut(string(text), "\nprofiles:\n")
		profiles = strings.ReplaceAll("\n"+strings.TrimSuffix(profiles, "\n"), "\n  ", "\n")
		if !found || !strings.Contains(string(cases), "-- profiles --"+profiles+"\n-- message") {
			t.Errorf("testdata/cases/%s does not hold the profiles of examples/%s:\n%s", tried, example, profiles)
		}
	}
}
