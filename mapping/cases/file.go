package cases

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
)

// Files gives the cases under dir, NAME.txtar, sorted. None is an error.
func Files(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".txtar") {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no case under %s; expected files NAME.txtar", dir)
	}
	return files, err
}

// RunFile runs the case in file and gives the differences between what came out
// and what was wanted. The error says that the case itself cannot be run. With
// update the file's wants are written anew from what came out.
func RunFile(file string, update bool) (differences []string, err error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	before := txtar.Format(archive)
	differences, err = Run(file, archive, update)
	if err != nil || !update {
		return differences, err
	}
	if text := txtar.Format(archive); !bytes.Equal(text, before) {
		return nil, os.WriteFile(file, text, 0o644)
	}
	return nil, nil
}

// Run runs the case in archive; name is for messages. With update the archive's
// wants become what came out.
func Run(name string, archive *txtar.Archive, update bool) (differences []string, err error) {
	c := &run{file: name, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for i := range archive.Files {
		section := &archive.Files[i]
		verb, rest, _ := strings.Cut(section.Name, " ")
		if verb != "profiles" {
			if err := c.start(nil); err != nil {
				return nil, err
			}
		}
		if section.Name != "want" {
			if err := c.step(verb, rest, section.Data); err != nil {
				return differences, fmt.Errorf("-- %s --: %w", section.Name, err)
			}
			continue
		}
		c.settle()
		got := c.take()
		if update {
			section.Data = []byte(got)
		} else if want := string(section.Data); want != got {
			differences = append(differences, difference(want, got))
		}
	}
	c.settle()
	if rest := c.take(); rest != "" {
		return differences, fmt.Errorf("nothing wants what came out at the end:\n%s", indent(rest))
	}
	return differences, nil
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	return b.String()
}
