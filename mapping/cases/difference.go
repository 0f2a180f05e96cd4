package cases

import (
	"fmt"
	"slices"
	"strings"
)

const (
	aroundLines = 2    // equal lines shown before and after each difference
	mostLines   = 2000 // of either text that are compared line by line
)

// difference shows where got departs from want: the number of the first line
// that does, then the lines that are missing (-) and the lines that came instead
// (+), with a few equal ones around them.
func difference(want, got string) string {
	a, b := lines(want), lines(got)
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	var out strings.Builder
	fmt.Fprintf(&out, "line %d is the first that differs (- wanted, + came):\n", same+1)
	marked := append(keep(' ', a[:same]), compare(a[same:], b[same:])...)
	skipped := 0
	for i, m := range marked {
		from, to := max(0, i-aroundLines), min(len(marked), i+aroundLines+1)
		if !slices.ContainsFunc(marked[from:to], func(m string) bool { return m[0] != ' ' }) {
			skipped++
			continue
		}
		skipped = tellSkipped(&out, skipped)
		out.WriteString("  " + m + "\n")
	}
	tellSkipped(&out, skipped)
	return out.String()
}

func tellSkipped(out *strings.Builder, n int) int {
	switch {
	case n == 1:
		out.WriteString("    … 1 equal line\n")
	case n > 1:
		fmt.Fprintf(out, "    … %d equal lines\n", n)
	}
	return 0
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func keep(mark byte, list []string) []string {
	marked := make([]string, 0, len(list))
	for _, line := range list {
		marked = append(marked, string(mark)+" "+line)
	}
	return marked
}

// compare marks the lines of a and b by their longest common subsequence; texts
// that are too long for that are shown one after the other.
func compare(a, b []string) []string {
	if len(a) > mostLines || len(b) > mostLines {
		return append(keep('-', a), keep('+', b)...)
	}
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
