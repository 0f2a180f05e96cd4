package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls are the methods that write a line that is not for debugging, and the
// number of the argument after which keys and values follow.
var logCalls = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3, "episodic": 2, "With": 0, "LogAttrs": 3}

// keysInSource finds the keys of log lines of what belongs to a running bridge.
func keysInSource(t *testing.T) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	others := []string{"edge/simulator", "bridge/devicesim", "bridge/mqttbus/broker", "integration", "deployments"}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		if d.IsDir() && (slices.Contains(others, rel) || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && rel != "../..") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(d.Name(), "simulate") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			first, ok := logCalls[sel.Sel.Name]
			if !ok || sel.Sel.Name == "Error" && len(call.Args) < 2 {
				return true
			}
			for i := first; i < len(call.Args); i++ {
				switch arg := call.Args[i].(type) {
				case *ast.BasicLit:
					if (i-first)%2 == 0 && arg.Kind == token.STRING {
						key, _ := strconv.Unquote(arg.Value)
						keys[key] = true
					}
				case *ast.CallExpr: // slog.String("key", …)
					if s, ok := arg.Fun.(*ast.SelectorExpr); ok && len(arg.Args) == 2 {
						if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "slog" {
							if lit, ok := arg.Args[0].(*ast.BasicLit); ok {
								key, _ := strconv.Unquote(lit.Value)
								keys[key] = true
							}
						}
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestEachLogKeyIsDocumented(t *testing.T) {
	used := keysInSource(t)
	if len(used) < 20 || !used["thing"] || !used["error"] {
		t.Fatalf("found only %v", used)
	}
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### Log keys\n")
	if !ok {
		t.Fatal("docs/operating.md has no section Log keys")
	}
	section, _, _ = strings.Cut(section, "\n#")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(section, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			told[m[1]] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		if !told[key] {
			t.Errorf("the log key %q is not in docs/operating.md", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(told)) {
		if !used[key] && key != "time" && key != "level" && key != "msg" {
			t.Errorf("docs/operating.md tells of the log key %q, which nothing writes", key)
		}
	}
}
