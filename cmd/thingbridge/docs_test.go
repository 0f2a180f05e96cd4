package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// pages reads every Markdown file of the project, by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != "../.." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		found[filepath.ToSlash(strings.TrimPrefix(path, "../../"))] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 8 {
		t.Fatalf("only %d pages were found", len(found))
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	unSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	span    = regexp.MustCompile("`([^`\n]+)`")
)

// anchors are the names that a page's headings have in links.
func anchors(page string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		names[strings.ReplaceAll(unSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return names
}

func TestLinksInTheDocumentationLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), file))
			}
			if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
				continue
			}
			if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", name, m[1])
			}
		}
	}
}

// commandLines finds what a page tells its reader to type: in blocks and in spans of code.
func commandLines(page string) []string {
	var found []string
	take := func(s string) {
		s = strings.TrimPrefix(strings.TrimSpace(s), "$ ")
		s = strings.TrimPrefix(s, "bin/")
		if strings.HasPrefix(s, "thingbridge ") || strings.HasPrefix(s, "make ") {
			found = append(found, s)
		}
	}
	fenced := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			take(line)
		default:
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				take(m[1])
			}
		}
	}
	return found
}

// words are a command line's own words, without what the shell makes of the rest.
func words(line string) []string {
	for _, end := range []string{" #", " | ", " > ", " && ", "; ", " < ", " 2>"} {
		line, _, _ = strings.Cut(line, end)
	}
	return strings.Fields(strings.NewReplacer("[", " ", "]", " ", "\\|", " ", "…", "").Replace(line))
}

func TestCommandLinesInTheDocumentationAreUnderstood(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, text := range pages(t) {
		for _, line := range commandLines(text) {
			w := words(line)
			if len(w) < 2 {
				continue
			}
			seen++
			if w[0] == "make" {
				if !strings.Contains(string(makefile), "\n"+w[1]+":") {
					t.Errorf("%s: %q: there is nothing to make that is called %s", name, line, w[1])
				}
				continue
			}
			if problem := understood(w[1:]); problem != "" {
				t.Errorf("%s: %q: %s", name, line, problem)
			}
		}
	}
	if seen < 40 {
		t.Fatalf("only %d command lines were found", seen)
	}
}

// understood says what is wrong with the arguments of thingbridge; "" nothing.
func understood(args []string) string {
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		return err.Error()
	}
	if !cmd.Runnable() && len(rest) > 0 {
		return "there is no such command"
	}
	return unknownFlag(cmd, rest)
}

func unknownFlag(cmd *cobra.Command, args []string) string {
	for _, a := range args {
		name, isFlag := strings.CutPrefix(a, "--")
		if !isFlag || name == "" {
			continue
		}
		name, _, _ = strings.Cut(name, "=")
		if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			return cmd.CommandPath() + " has no flag --" + name
		}
	}
	return ""
}
