package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds the configuration file.
const maxFile = 16 << 20

// Options say where Load takes a configuration from.
type Options struct {
	File  string         // its path; empty: no file, defaults and environment alone
	Flags *pflag.FlagSet // with the flags of [AddFlags]; nil: none
	Here  bool           // the bridge is to run here: look at what data_dir names
}

// Load reads a configuration and checks all of it. The Config is nil when any
// of the problems is not a warning.
func Load(opt Options) (*Config, []Problem) {
	b, err := Read(opt.File)
	if err != nil {
		return nil, Unreadable(opt.File, err)
	}
	return Parse(b, opt)
}

// Unreadable is the problem with a file that Read could not read.
func Unreadable(file string, err error) []Problem {
	return []Problem{{File: file, Message: err.Error(), Expected: "a readable YAML file"}}
}

// Parse is Load for a text that is read already; opt.File names it in problems.
func Parse(text []byte, opt Options) (*Config, []Problem) {
	c, problems := parse(text, opt)
	if Errors(problems) {
		return nil, problems
	}
	return c, problems
}

// Draft is Load for showing only: where there are problems the Config still
// holds what could be read, and defaults elsewhere. It is nil when the file cannot be
// read or is not YAML. Nothing may be run from it.
func Draft(opt Options) (*Config, []Problem) {
	b, err := Read(opt.File)
	if err != nil {
		return nil, Unreadable(opt.File, err)
	}
	return parse(b, opt)
}

func parse(text []byte, opt Options) (*Config, []Problem) {
	l := &loader{opt: opt, walker: walker{file: opt.File, places: map[string]*yaml.Node{}}}
	c := l.load(text)
	return c, inOrder(l.problems)
}

// Read gives the text of a configuration file, nothing for the path "".
func Read(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, pathCause(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, pathCause(err)
	}
	if len(b) > maxFile {
		return nil, errors.New("larger than 16 MiB")
	}
	return b, nil
}

type loader struct {
	walker
	opt Options
}

func (l *loader) load(text []byte) *Config {
	root := l.parseYAML(text)
	if root == nil {
		return nil
	}
	settings := l.section(root, reflect.TypeFor[Config](), "")
	c := Default()
	l.fill(&c, settings)
	c.File, c.Sum = l.opt.File, sha256.Sum256(text)
	c.ProfilesNode = l.profiles
	l.strayVariables()
	l.validate(&c)
	l.loadProfiles(&c)
	return &c
}

// parseYAML gives the root mapping of the text.
func (l *loader) parseYAML(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	case err != nil:
		l.syntax(err, text)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		l.report(&more, "", "a second YAML document begins", "one document")
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err, text)
		return nil
	}
	root := doc.Content[0]
	if isNull(root) {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	}
	if resolveAlias(root).Kind != yaml.MappingNode {
		l.report(root, "", "the file is "+describe(root), wanted(reflect.TypeFor[Config]())+", profiles")
		return nil
	}
	return root
}

// syntax reports an error of the YAML parser.
func (l *loader) syntax(err error, text []byte) {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: l.file, Line: 1, Col: 1, Expected: "valid YAML"}
	var line int
	if _, scanErr := fmt.Sscanf(what, "line %d:", &line); scanErr == nil {
		_, what, _ = strings.Cut(what, ": ")
		p.Line = line
	}
	p.Message = "not YAML: " + what
	for _, known := range yamlErrors {
		if strings.Contains(what, known.text) {
			p.Line += known.after
			p.Expected = known.expected
		}
	}
	at := notText(text)
	if name := ""; at < 0 {
		if _, scanErr := fmt.Sscanf(what, "unknown anchor '%s", &name); scanErr == nil {
			at = bytes.Index(text, []byte("*"+strings.TrimSuffix(name, "'")))
		}
	}
	if at >= 0 {
		p.Line, p.Col = 1+bytes.Count(text[:at], []byte("\n")), at-bytes.LastIndexByte(text[:at], '\n')
	}
	l.problems = append(l.problems, p)
}

// yamlErrors says what would be right, and by how much the line is told too low:
// the library counts from 0 where the parser and not the scanner finds the error.
var yamlErrors = []struct {
	text     string
	after    int
	expected string
}{
	{"cannot start any token", 0, "spaces to indent, no tabs, and quotes around text that begins with a special character"},
	{"a tab character", 0, "spaces to indent, no tabs"},
	{"mapping values are not allowed", 0, "keys of one mapping indented alike, and quotes around text that holds a colon and a space"},
	{"expected key", 1, "keys of one mapping indented alike"},
	{"expected '-' indicator", 1, "a list or a mapping, indented alike"},
	{"expected ',' or ']'", 1, "a list that ends with ]"},
	{"expected ',' or '}'", 1, "a mapping that ends with }, and quotes around text that holds a special character"},
	{"expected node content", 1, "valid YAML"},
	{"expected <document start>", 1, "valid YAML"},
	{"undefined tag handle", 1, "valid YAML"},
	{"unknown anchor", 0, "an anchor &name before it, or quotes around text that begins with *"},
	{"unexpected end of stream", 0, "a quote that ends the text"},
	{"UTF-8", 0, "text in UTF-8"},
	{"control characters", 0, "text without control characters"},
}

// notText gives the offset of the first byte that YAML takes for no text, -1 if
// there is none.
func notText(text []byte) int {
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r) {
			return at
		}
		at += n
	}
	return -1
}

// fill joins flags, environment, file and defaults, and decodes them.
func (l *loader) fill(c *Config, settings map[string]any) {
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer("::", "_"))
	v.AutomaticEnv()
	for _, k := range Keys() {
		key := strings.ReplaceAll(k.Path, ".", "::")
		v.SetDefault(key, valueOf(c, k.Path))
		if f := l.flag(k.Path); f != nil {
			// A flag that is nil is the only error, and it is not.
			_ = v.BindPFlag(key, f)
		}
	}
	if err := v.MergeConfigMap(settings); err != nil {
		l.problems = append(l.problems, Problem{File: l.file, Message: err.Error()})
		return
	}
	err := v.Unmarshal(c, func(d *mapstructure.DecoderConfig) {
		d.WeaklyTypedInput = false
		d.ErrorUnused = true
		d.DecodeHook = mapstructure.DecodeHookFuncType(decodeHook)
	})
	l.decodeProblems(err)
}

// flag gives the flag that sets a key, if there is one.
func (l *loader) flag(path string) *pflag.Flag {
	if l.opt.Flags == nil {
		return nil
	}
	return l.opt.Flags.Lookup(flagName(path))
}

// decodeProblems turns what mapstructure says into problems with a place.
func (l *loader) decodeProblems(err error) {
	switch e := err.(type) {
	case nil:
	case *mapstructure.DecodeError:
		message, expected := e.Unwrap().Error(), ""
		var ve *valueError
		if errors.As(e, &ve) {
			message, expected = ve.message, ve.expected
		}
		l.at(e.Name(), message, expected, false)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			l.decodeProblems(one)
		}
	case interface{ Unwrap() error }:
		l.decodeProblems(e.Unwrap())
	default:
		l.problems = append(l.problems, Problem{File: l.file, Message: err.Error()})
	}
}

// at reports a problem with the value that a key has, wherever it came from.
func (l *loader) at(path, message, expected string, warning bool) {
	p := Problem{File: l.file, Path: path, Message: message, Expected: expected, Warning: warning}
	base, _, _ := strings.Cut(path, "[")
	switch source, n := l.source(base), l.places[path]; {
	case source != "":
		p.File = source
	case n != nil:
		p.Line, p.Col = n.Line, n.Column
	default:
		p.Line, p.Col = l.nearby(base)
	}
	l.problems = append(l.problems, p)
}

// nearby gives the place of the key, or of the section it belongs to, or of the
// file's beginning.
func (l *loader) nearby(path string) (line, col int) {
	for path != "" {
		if n := l.places[path]; n != nil {
			return n.Line, n.Column
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	if l.file == "" {
		return 0, 0
	}
	return 1, 1
}

// source names the flag or the variable that a key's value came from; "" for the file.
func (l *loader) source(path string) string {
	if f := l.flag(path); f != nil && f.Changed {
		return "--" + f.Name
	}
	if text, ok := os.LookupEnv(envName(path)); ok && text != "" {
		return envName(path)
	}
	return ""
}

// strayVariables warns of THINGBRIDGE_ variables that set nothing. Those that
// Kubernetes makes for a service of that name are let be.
func (l *loader) strayVariables() {
	known := []string{envPrefix + "_CONFIG"}
	for _, k := range Keys() {
		known = append(known, envName(k.Path))
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, envPrefix+"_")
		if !ours || slices.Contains(known, name) || strings.HasPrefix(rest, "SERVICE_") || strings.HasPrefix(rest, "PORT") {
			continue
		}
		message := "the environment variable sets no key"
		if n := nearestVariable(name, known); n != "" {
			message += ", did you mean " + n + "?"
		}
		l.problems = append(l.problems, Problem{File: name, Message: message, Warning: true})
	}
}

func nearestVariable(name string, known []string) string {
	best, bestDistance := "", 4
	for _, n := range known {
		if d := distance(name, n); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}
