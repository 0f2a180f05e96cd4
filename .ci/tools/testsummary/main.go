// Command testsummary reads what "go test -json" writes, shows one line per
// package and the output of failures as they come, and at the end how many
// tests passed, failed and were skipped, with the reason of each skip.
// It exits with 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}

// event is one line of "go test -json".
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type summary struct {
	out            io.Writer
	began          time.Time
	passed, failed int
	packages       int
	output         map[string][]string // by package and test
	failures       []string
	skips          map[string][]string // reason to tests
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, began: time.Now(), output: map[string][]string{}, skips: map[string][]string{}}
}

func (s *summary) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				// The go command's own words, for example of a build that fails.
				fmt.Fprintf(s.out, "%s\n", strings.TrimRight(string(line), "\n"))
			} else {
				s.event(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) event(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		s.end(e, key, &s.passed)
	case "fail":
		s.failures = append(s.failures, strings.TrimSpace(key))
		if e.Test == "" {
			s.unended(e.Package)
		}
		for _, line := range s.output[key] {
			fmt.Fprint(s.out, line)
		}
		s.end(e, key, &s.failed)
	case "skip":
		s.skip(e, key)
	}
}

func (s *summary) end(e event, key string, count *int) {
	if e.Test != "" {
		*count++
	} else {
		s.packages++
		word := "ok  "
		if e.Action == "fail" {
			word = "FAIL"
		}
		fmt.Fprintf(s.out, "%s %s %.1fs\n", word, e.Package, e.Elapsed)
	}
	delete(s.output, key)
}

// unended shows what the tests said that had not ended when their package did:
// one of them ran out of time, or ended the process.
func (s *summary) unended(pkg string) {
	var keys []string
	for key := range s.output {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprintf(s.out, "%s had not ended:\n%s", key, strings.Join(s.output[key], ""))
		delete(s.output, key)
	}
}

func (s *summary) skip(e event, key string) {
	if e.Test == "" {
		delete(s.output, key)
		return
	}
	reason := "no reason given"
	for _, line := range s.output[key] {
		line = strings.TrimSpace(line)
		// "file_test.go:12: the reason"
		if i := strings.Index(line, ".go:"); i > 0 {
			if _, text, ok := strings.Cut(line[i+4:], ": "); ok {
				reason = text
			}
		}
	}
	name := strings.TrimPrefix(e.Package, "thingbridge/") + "." + e.Test
	s.skips[reason] = append(s.skips[reason], name)
	delete(s.output, key)
}

// finish prints the end and reports whether nothing failed.
func (s *summary) finish() bool {
	skipped := 0
	for _, tests := range s.skips {
		skipped += len(tests)
	}
	fmt.Fprintf(s.out, "\ntests: %d passed, %d failed, %d skipped in %d packages, %s\n",
		s.passed, s.failed, skipped, s.packages, time.Since(s.began).Round(time.Second))
	var reasons []string
	for reason := range s.skips {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		tests := s.skips[reason]
		slices.Sort(tests)
		fmt.Fprintf(s.out, "  skipped: %s\n", reason)
		for _, name := range tests {
			fmt.Fprintf(s.out, "    %s\n", name)
		}
	}
	for _, name := range s.failures {
		fmt.Fprintf(s.out, "  failed: %s\n", name)
	}
	if s.packages == 0 {
		fmt.Fprintln(s.out, "  failed: no package was tested")
	}
	return len(s.failures) == 0 && s.packages > 0
}
