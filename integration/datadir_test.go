package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dataDir is where newBridge lets its bridge keep its data.
func (b *bridge) dataDir() string { return filepath.Join(filepath.Dir(b.config), "data") }

// TestADataDirectoryThatCannotBeUsedSaysWhy starts the bridge on directories
// that are damaged, written by a newer program, read-only, or in use.
func TestADataDirectoryThatCannotBeUsedSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "")
	br.waitReady()
	t.Run("in use by another bridge", func(t *testing.T) {
		refuses(t, br.config, "in use by process "+fmt.Sprint(br.p.cmd.Process.Pid))
	})
	br.p.stop(t)
	write := func(name, text string) func(t *testing.T) {
		return func(t *testing.T) {
			path := filepath.Join(br.dataDir(), name)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			replace(t, path, []byte(text))
			t.Cleanup(func() { replace(t, path, before) })
		}
	}
	for name, c := range map[string]struct {
		harm func(t *testing.T)
		want string
	}{
		"a damaged outbox":           {write("outbox.db", strings.Repeat("x", 40_000)), "outbox.db is damaged"},
		"a damaged registry":         {write("registry.db", strings.Repeat("y", 40_000)), "registry.db is damaged"},
		"written by a newer program": {write("format", "thingbridge data directory, format 99\n"), "format 99"},
	} {
		t.Run(name, func(t *testing.T) {
			c.harm(t)
			refuses(t, br.config, c.want)
		})
	}
	br.start()
	br.waitReady()
	br.p.stop(t)
}

func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refuses wants a bridge to end at once, with words that say why.
func refuses(t *testing.T, config string, words ...string) {
	t.Helper()
	p := start(t, "thingbridge run", binary, "run", "--config", config)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("it runs:\n%s", p.tail())
	}
	if p.err == nil {
		t.Errorf("it ended well")
	}
	for _, w := range words {
		if !strings.Contains(p.output(), w) {
			t.Errorf("it does not say %q:\n%s", w, p.tail())
		}
	}
}

// TestAFullDiskLosesNothing fills the disk under the bridge: values go on to
// the platform, and what cannot stays with the broker, over a kill too.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "24m")
	b := newBroker(t)
	s := newPlatform(t)
	front := newProxy(t, "platform", s.address)
	br := newBridgeIn(t, dir, b, s.webSocket(front.Listen), "")
	d := newDevice(t, b, "filler")
	d.announce("disk-1", `{"properties": {"n": {"type": "STRING", "push": "ALWAYS"}}}`)
	s.waitThing("disk-1", true)
	pad := strings.Repeat("x", 20_000)
	send := func(from, to int) {
		for n := from; n <= to; n++ {
			d.publish("things/disk-1/properties/n", fmt.Sprintf("%d %s", n, pad))
		}
	}
	arrived := func(n int) { s.waitProperty("disk-1", "n", fmt.Sprintf(`"%d %s"`, n, pad)) }
	send(1, 1)
	arrived(1)

	free := fillDisk(t, dir)
	send(2, 100)
	arrived(100)
	front.Stop()
	send(101, 200)
	eventually(t, "the bridge says that the disk is full", func() string {
		if !strings.Contains(br.p.output(), "no space left on device") {
			return "it does not"
		}
		return ""
	})
	br.p.kill()
	free()
	up(t, front)
	br.start()
	arrived(200)
	all, err := s.pushes("disk-1")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, v := range all {
		var n int
		if _, err := fmt.Sscanf(string(v.Value), `"%d `, &n); err != nil {
			t.Fatalf("value %.40s: %v", v.Value, err)
		}
		if n > highest+1 {
			t.Fatalf("%d came after %d", n, highest)
		}
		highest = max(highest, n)
	}
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small file system can only be mounted by root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fillDisk takes all space that is left and returns a function that frees it.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := 1 << 20; chunk >= 1; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
