package cases_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"thingbridge/mapping/cases"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "case.txtar")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestASilentDeviceAndAnEcho(t *testing.T) {
	for text, want := range map[string]string{
		"-- call p Go --\n{}\n-- elapse 9s --\n-- elapse 1s --\n-- want --\n":                                              "p.Go ends: nobody answered in time",
		"-- call p Go --\n{}\n-- elapse 10s --\n-- message things/p/services/Go/reply/request-1 --\n{}\n-- want --\n":      "nobody waits for it",
		"-- write p v --\n5\n-- message things/p/properties/v --\n4\n-- message things/p/properties/v --\n5\n-- want --\n": "p.v = NUMBER 5\n  +   p.v ends: done",
		"-- write p s --\n5\n-- want --\n":                                     "ends once it is sent",
		"-- read p v --\n-- message things/p/properties/v --\n4\n-- want --\n": "p.v ends: NUMBER 4",
		"-- call \"no p\" Go on --\n-- want --\n":                              `"no p"`,
	} {
		announce := "-- message things/p/announce --\n{\"properties\":{\"v\":{\"type\":\"NUMBER\",\"writable\":true,\"confirm\":\"echo\"},\"s\":{\"type\":\"NUMBER\",\"writable\":true}}}\n"
		differences, err := cases.RunFile(write(t, announce+text), false)
		if err != nil || len(differences) != 1 || !strings.Contains(differences[0], want) {
			t.Errorf("%s\n%s, %v; want %q", text, differences, err, want)
		}
	}
}

func TestUpdateWritesWhatCameOut(t *testing.T) {
	file := write(t, "-- profiles --\n- preset: native\n-- message things/p/announce --\n{}\n-- call p Go --\n{}\n-- want --\nwrong\n")
	if problems, err := cases.RunFile(file, false); len(problems) != 1 || err != nil {
		t.Fatalf("problems %q, %v", problems, err)
	}
	if problems, err := cases.RunFile(file, true); len(problems) > 0 || err != nil {
		t.Fatalf("problems %q, %v", problems, err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "send things/p/services/Go/request/request-1 {}") {
		t.Fatalf("%s %v", text, err)
	}
	if problems, err := cases.RunFile(file, false); len(problems) > 0 || err != nil {
		t.Errorf("problems %q, %v", problems, err)
	}
}

func TestACaseSaysWhatIsWrongWithIt(t *testing.T) {
	for text, want := range map[string]string{
		"-- dance p --\n":       "not a step",
		"-- call p --\n":        "not a step",
		"-- elapse 5 --\n":      "missing unit",
		"-- bytes t --\n0g\n":   "not hexadecimal digits",
		"-- ask now --\n":       "not an occasion",
		"-- ask connect p --\n": "not an occasion",
		"-- ask presence --\n":  "not an occasion",
		"-- message things/p/announce --\n{}\n-- profiles --\n- preset: native\n":    "must come first",
		"-- profiles --\n- preset: none\n":                                           "none",
		"-- profiles --\n- [\n":                                                      "yaml",
		"-- profiles --\n":                                                           "no profiles in it",
		"-- message things/p/announce --\n{}\n":                                      "nothing wants what came out",
		"-- message things/p/announce --\n{}\n-- want --\n-- call p Go --\n{oops}\n": "not JSON",
	} {
		problems, err := cases.RunFile(write(t, text), false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %q, %v; want %q", text, problems, err, want)
		}
	}
}
