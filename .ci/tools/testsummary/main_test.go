package main

import (
	"strings"
	"testing"
)

func TestTheSummaryCountsAndNamesSkips(t *testing.T) {
	var out strings.Builder
	s := newSummary(&out)
	err := s.read(strings.NewReader(`{"Action":"run","Package":"thingbridge/a","Test":"TestGood"}
{"Action":"pass","Package":"thingbridge/a","Test":"TestGood"}
{"Action":"output","Package":"thingbridge/a","Test":"TestSkipped","Output":"    a_test.go:12: no broker: install mosquitto\n"}
{"Action":"skip","Package":"thingbridge/a","Test":"TestSkipped"}
{"Action":"output","Package":"thingbridge/a","Test":"TestBad","Output":"    a_test.go:20: wrong\n"}
{"Action":"fail","Package":"thingbridge/a","Test":"TestBad"}
{"Action":"output","Package":"thingbridge/a","Test":"TestEndless","Output":"panic: test timed out after 8m0s\n"}
{"Action":"fail","Package":"thingbridge/a"}
words of the go command itself
{"Action":"skip","Package":"thingbridge/b"}
`))
	if err != nil || s.finish() {
		t.Errorf("read %v; a failure is not seen", err)
	}
	for _, want := range []string{
		"a_test.go:20: wrong", "thingbridge/a TestEndless had not ended:\npanic: test timed out", "words of the go command itself", "tests: 1 passed, 1 failed, 1 skipped in 1 packages",
		"skipped: no broker: install mosquitto\n    a.TestSkipped", "failed: thingbridge/a TestBad",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestNothingTestedIsAFailure(t *testing.T) {
	var out strings.Builder
	if newSummary(&out).finish() {
		t.Errorf("it is fine:\n%s", &out)
	}
}
