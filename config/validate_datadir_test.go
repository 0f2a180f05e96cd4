package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADataDirectoryThatCannotBeUsedIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "outbox.db"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	lockedIs := "warning data_dir: " + locked + " cannot be written"
	foreignIs := "warning data_dir: " + filepath.Join(foreign, "outbox.db") + " cannot be read and written"
	if os.Getuid() == 0 {
		lockedIs, foreignIs = "", "" // root may write everywhere
	}
	cases := []struct{ name, dir, want string }{
		{"a folder", dir, ""},
		{"a folder to be made", filepath.Join(dir, "a", "b"), ""},
		{"a file", file, "data_dir: is a file"},
		{"a folder under a file", filepath.Join(file, "a"), "data_dir: cannot be made: " + file + " is a file"},
		{"a folder that is not writable", locked, lockedIs},
		{"a folder with a file that is not writable", foreign, foreignIs},
		{"a folder in one that is not writable", filepath.Join(locked, "a"), lockedIs},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := "platform: {url: ws://127.0.0.1/Thingworx/WS, app_key: \"${env:HOME}\"}\n" +
				"mqtt: {broker: tcp://127.0.0.1, client_id: x}\ndata_dir: " + c.dir + "\n"
			path := filepath.Join(t.TempDir(), "thingbridge.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, problems := Load(Options{File: path, Here: true})
			var told []string
			for _, p := range problems {
				if p.Path != "data_dir" {
					continue
				}
				line := p.Path + ": " + p.Message
				if p.Warning {
					line = "warning " + line
				}
				told = append(told, line)
			}
			got := strings.Join(told, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("told %q, want %q", got, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
				t.Error("the check has made a folder")
			}
		})
	}
}
