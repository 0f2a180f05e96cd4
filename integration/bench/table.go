package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// aim is what a row should reach.
type aim struct {
	text    string
	reached func(value, ratio float64) bool
}

func ratioAtLeast(x float64) *aim {
	return &aim{fmt.Sprintf("≥ %.2f ×", x), func(_, ratio float64) bool { return ratio >= x }}
}

func ratioAtMost(x float64) *aim {
	return &aim{fmt.Sprintf("≤ %.1f ×", x), func(_, ratio float64) bool { return ratio <= x }}
}

func atMost(x float64, unit string) *aim {
	return &aim{fmt.Sprintf("≤ %g %s", x, unit), func(value, _ float64) bool { return value <= x }}
}

// row is one line of the table, with a number of each round.
type row struct {
	section, name, unit string
	values, limits      []float64
	aim                 *aim
}

// ratio is the median of the rounds' own ratios: what stands beside each other
// was measured beside each other.
func (r *row) ratio() float64 {
	var all []float64
	for i := range min(len(r.values), len(r.limits)) {
		if r.limits[i] > 0 {
			all = append(all, r.values[i]/r.limits[i])
		}
	}
	return median(all)
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(list))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// table is what a run measured.
type table struct {
	rows  []*row
	aims  map[string]*aim // by "section/name"
	notes []string        // what went wrong or must be known
}

// add notes one round's number and, if it is more than 0, its limit.
func (t *table) add(section, name, unit string, value, limit float64) {
	var r *row
	for _, known := range t.rows {
		if known.section == section && known.name == name {
			r = known
		}
	}
	if r == nil {
		r = &row{section: section, name: name, unit: unit, aim: t.aims[section+"/"+name]}
		t.rows = append(t.rows, r)
	}
	r.values = append(r.values, value)
	if limit > 0 {
		r.limits = append(r.limits, limit)
	}
}

func (t *table) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}

// print writes the table, section by section.
func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(tw, "| %s |\n", strings.Join(cells, "\t| ")) }
	line("what", "unit", "thingbridge", "from … to", "limit", "ratio", "aim", "reached")
	line("---", "---", "---", "---", "---", "---", "---", "---")
	var order []string
	for _, r := range t.rows {
		if !slices.Contains(order, r.section) {
			order = append(order, r.section)
		}
	}
	rows := slices.Clone(t.rows)
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Compare(slices.Index(order, a.section), slices.Index(order, b.section))
	})
	for _, r := range rows {
		line(r.cells()...)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, n := range t.notes {
		fmt.Fprintf(w, "\n- %s", n)
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (r *row) cells() []string {
	value := median(r.values)
	spread, limit, ratio, aim, reached := "", "", "", "", ""
	if len(r.values) > 1 {
		spread = number(slices.Min(r.values)) + " … " + number(slices.Max(r.values))
	}
	if len(r.limits) > 0 {
		limit, ratio = number(median(r.limits)), fmt.Sprintf("%.2f", r.ratio())
	}
	if r.aim != nil {
		aim, reached = r.aim.text, "no"
		if r.aim.reached(value, r.ratio()) {
			reached = "yes"
		}
	}
	return []string{r.section + ": " + r.name, r.unit, number(value), spread, limit, ratio, aim, reached}
}

// number prints three significant digits, and all digits of whole numbers.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
