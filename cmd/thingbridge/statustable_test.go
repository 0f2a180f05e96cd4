package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWideTablesFitTheTerminal(t *testing.T) {
	long := "plant-7-" + strings.Repeat("x", 120) + "-0001"
	rows := [][]string{{"NAME", "STATE", "REASON"}, {long, "refused", "the platform says " + strings.Repeat("no ", 60)}, {"pump-1", "ready", ""}}
	for _, width := range []int{0, 80, 120, 500, 10} {
		var out bytes.Buffer
		if err := table(&out, fitted(rows, width)); err != nil {
			t.Fatal(err)
		}
		widest := 0
		for line := range strings.Lines(out.String()) {
			widest = max(widest, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
		}
		if width >= 80 && widest > width {
			t.Errorf("%d columns on a terminal of %d:\n%s", widest, width, out.String())
		}
		if whole := strings.Contains(out.String(), long); whole != (width == 0 || width == 500) {
			t.Errorf("width %d: the name is whole: %v", width, whole)
		}
		if !strings.Contains(out.String(), "-0001") || !strings.Contains(out.String(), "pump-1") {
			t.Errorf("width %d: the end of a name is lost:\n%s", width, out.String())
		}
	}
}
