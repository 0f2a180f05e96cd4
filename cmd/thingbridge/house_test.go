package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "thingbridge/"

// mayImport says which packages of ours each package may import; "*" is all.
var mayImport = map[string][]string{
	"edge/alwayson":         {},
	"edge":                  {"edge/alwayson"},
	"edge/restjson":         {"edge/alwayson"},
	"edge/simulator":        {"edge/alwayson", "edge/restjson"},
	"mapping":               {"edge/alwayson"},
	"mapping/sparkplug":     {"mapping"},
	"mapping/hass":          {"mapping"},
	"mapping/presets":       {"mapping", "mapping/sparkplug", "mapping/hass"},
	"mapping/cases":         {"mapping", "mapping/presets", "mapping/sparkplug", "edge/alwayson"},
	"bridge":                {"bridge/permit", "mapping", "edge/alwayson", "edge/restjson"},
	"bridge/permit":         {"edge/alwayson", "edge/restjson"},
	"bridge/httpd":          {},
	"bridge/rest":           {"bridge/httpd", "bridge/permit", "edge/alwayson", "edge/restjson"},
	"bridge/mqttbus":        {"bridge"},
	"bridge/mqttbus/broker": {},
	"bridge/outbox":         {"bridge", "edge/alwayson", "bridge/store/boltfile"},
	"bridge/store":          {"bridge", "bridge/store/boltfile"},
	"bridge/store/boltfile": {},
	"bridge/devicesim":      {"mapping", "mapping/sparkplug"},
	"bridge/edgethings":     {"bridge", "bridge/permit", "edge/alwayson", "edge/restjson"},
	"bridge/console":        {"bridge", "bridge/httpd", "config"},
	"bridge/ownthing":       {"bridge", "mapping", "edge/alwayson"},
	"config":                {"bridge/permit", "mapping", "mapping/presets"},
	"config/watch":          {},
	"cmd/thingbridge":       {"*"},
	"deployments":           {"*"},
	"integration":           {"*"},
	"integration/bench":     {"*"},
}

// onlyIn says which packages may import a library.
var onlyIn = map[string][]string{
	"github.com/eclipse/paho.mqtt.golang": {"bridge/mqttbus", "bridge/devicesim", "integration/bench"},
	"github.com/mochi-mqtt/server/v2":     {"bridge/mqttbus/broker"},
	"github.com/gorilla/websocket":        {"edge", "edge/simulator", "bridge/mqttbus", "integration/bench"}, // the third for MQTT over WebSocket
	"go.etcd.io/bbolt":                    {"bridge/store", "bridge/store/boltfile", "bridge/outbox"},
	"github.com/expr-lang/expr":           {"mapping"},
	"github.com/spf13/viper":              {"config"},
	"github.com/spf13/cobra":              {"cmd/thingbridge"},
	"github.com/fsnotify/fsnotify":        {"config/watch"},
}

// sources reads every Go file of the module that is no test, by package.
func sources(t *testing.T) map[string][]*ast.File {
	t.Helper()
	const root = "../.."
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		packages[filepath.ToSlash(dir)] = append(packages[filepath.ToSlash(dir)], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	return packages
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for dir, files := range sources(t) {
		room := dir
		if top, _, _ := strings.Cut(dir, "/"); top == "integration" || top == "deployments" {
			room = top
		}
		allowed, known := mayImport[room]
		if !known {
			t.Errorf("%s is not in the table of packages", dir)
			continue
		}
		for _, f := range files {
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				checkImport(t, dir, path, allowed)
			}
		}
	}
}

func checkImport(t *testing.T, dir, path string, allowed []string) {
	t.Helper()
	ours, isOurs := strings.CutPrefix(path, module)
	switch {
	case isOurs && ours == "cmd/thingbridge":
		t.Errorf("%s imports the command", dir)
	case isOurs && !slices.Contains(allowed, "*") && !slices.Contains(allowed, ours):
		t.Errorf("%s imports %s; it may import %v", dir, ours, allowed)
	case !isOurs && dir == "edge/alwayson" && strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
		t.Errorf("%s imports %s; it may import the standard library only", dir, path)
	}
	for library, users := range onlyIn {
		if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(users, dir) {
			t.Errorf("%s imports %s; only %v may", dir, library, users)
		}
	}
}

func TestPackagesSayFirstWhatTheyPromise(t *testing.T) {
	// A package that does nothing by itself has nothing to say of these.
	words := []string{"order", "loss", "block"}
	quiet := map[string][]string{"edge/alwayson": {"order"}, "mapping": {}, "cmd/thingbridge": {}}
	for dir, files := range sources(t) {
		doc := ""
		for _, f := range files {
			doc += f.Doc.Text()
		}
		if doc == "" {
			t.Errorf("%s has no doc comment", dir)
			continue
		}
		text := strings.ToLower(doc)
		want, isQuiet := quiet[dir]
		if !isQuiet {
			want = words
		}
		for _, word := range want {
			if !strings.Contains(text, word) && !(word == "loss" && strings.Contains(text, "lost")) {
				t.Errorf("the doc comment of %s says nothing of %s", dir, word)
			}
		}
	}
}
