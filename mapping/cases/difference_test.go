package cases

import (
	"strings"
	"testing"
)

func TestADifferenceShowsTheFirstLineThatDiffers(t *testing.T) {
	tests := []struct{ name, want, got, shown string }{
		{"a line is another", "a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nX\ne\nf\ng\n",
			"line 4 is the first that differs (- wanted, + came):\n    … 1 equal line\n    b\n    c\n  - d\n  + X\n    e\n    f\n    … 1 equal line\n"},
		{"a line is missing", "a\nb\nc\n", "a\nc\n", "line 2 is the first that differs (- wanted, + came):\n    a\n  - b\n    c\n"},
		{"a line came besides", "a\n", "a\nb\n", "line 2 is the first that differs (- wanted, + came):\n    a\n  + b\n"},
		{"nothing was wanted", "", "a\n", "line 1 is the first that differs (- wanted, + came):\n  + a\n"},
		{"nothing came", "a\n", "", "line 1 is the first that differs (- wanted, + came):\n  - a\n"},
		{"two places", strings.Repeat("=\n", 2) + "a\n" + strings.Repeat("=\n", 9) + "b\n", strings.Repeat("=\n", 11) + "c\n",
			"line 3 is the first that differs (- wanted, + came):\n    =\n    =\n  - a\n    =\n    =\n    … 5 equal lines\n    =\n    =\n  - b\n  + c\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := difference(tt.want, tt.got); got != tt.shown {
				t.Errorf("got\n%swant\n%s", got, tt.shown)
			}
		})
	}
}
