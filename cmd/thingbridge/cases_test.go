package main

import (
	"os"
	"strings"
	"testing"
)

// TestTheAcmeCaseTriesTheExample keeps the case and the example alike.
func TestTheAcmeCaseTriesTheExample(t *testing.T) {
	example, err := os.ReadFile("../../examples/profile.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried, err := os.ReadFile("testdata/cases/acme-pump.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, profiles, found := strings.Cut(string(example), "\nprofiles:\n")
	profiles = strings.ReplaceAll("\n"+strings.TrimSuffix(profiles, "\n"), "\n  ", "\n")
	if !found || !strings.Contains(string(tried), "-- profiles --"+profiles+"\n-- message") {
		t.Errorf("testdata/cases/acme-pump.txtar does not hold the profiles of examples/profile.yaml:\n%s", profiles)
	}
}
