package main

import (
	"os"
	"strings"
	"testing"
)

func TestUpdateWritesWhatCameOut(t *testing.T) {
	file := write(t, "case.txtar", "-- profiles --\n- preset: native\n-- message things/p/announce --\n{}\n-- call p Go --\n{}\n-- want --\nwrong\n")
	if problems, err := runCase(file, false); len(problems) != 1 || err != nil {
		t.Fatalf("problems %q, %v", problems, err)
	}
	if problems, err := runCase(file, true); len(problems) > 0 || err != nil {
		t.Fatalf("problems %q, %v", problems, err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "send things/p/services/Go/request/request-1 {}") {
		t.Fatalf("%s %v", text, err)
	}
	if problems, err := runCase(file, false); len(problems) > 0 || err != nil {
		t.Errorf("problems %q, %v", problems, err)
	}
}

func TestACaseSaysWhatIsWrongWithIt(t *testing.T) {
	for text, want := range map[string]string{
		"-- dance p --\n": "not a step",
		"-- message things/p/announce --\n{}\n-- profiles --\n- preset: native\n":    "must come first",
		"-- profiles --\n- preset: none\n":                                           "none",
		"-- profiles --\n- [\n":                                                      "yaml",
		"-- profiles --\n":                                                           "no profiles in it",
		"-- message things/p/announce --\n{}\n":                                      "nothing wants what came out",
		"-- message things/p/announce --\n{}\n-- want --\n-- call p Go --\n{oops}\n": "not JSON",
	} {
		problems, err := runCase(write(t, "case.txtar", text), false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %q, %v; want %q", text, problems, err, want)
		}
	}
}

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
