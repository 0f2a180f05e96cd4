package store_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"thingbridge/bridge/store"
	"thingbridge/bridge/store/boltfile"
)

const holdVar = "STORE_HOLD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdVar); dir != "" {
		os.Exit(hold(dir))
	}
	goleak.VerifyTestMain(m)
}

// hold is a child that opens the directory, saves one Thing, and stays.
func hold(dir string) int {
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := errors.Join(s.Save("pump-1", []byte("saved")), s.Sync()); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("up")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func load(t testing.TB, s *store.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	if err := s.Load(func(thing string, data []byte) error { all[thing] = string(data); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestTheRegistrySurvivesARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s := open(t, dir)
	must(t, s.Save("a", []byte("1")), s.Save("b", []byte("2")), s.Save("a", []byte("3")), s.Delete("b"), s.Delete("never"))
	want := map[string]string{"a": "3"}
	if got := load(t, s); !maps.Equal(got, want) {
		t.Fatalf("before: %v", got)
	}
	must(t, s.Close())
	s = open(t, dir)
	if got := load(t, s); !maps.Equal(got, want) {
		t.Fatalf("after: %v", got)
	}
	if s.OutboxPath() != filepath.Join(dir, "outbox.db") {
		t.Fatalf("outbox %s", s.OutboxPath())
	}
}

func TestTheDirectoryIsForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	open(t, dir)
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v", info.Mode())
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestSavesAreOnDiskSoonWithoutBeingAsked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 100 {
		must(t, s.Save(fmt.Sprint(i), []byte("x")))
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		copied := t.TempDir()
		for _, name := range []string{"registry.db", "format"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err, os.WriteFile(filepath.Join(copied, name), b, 0o600))
		}
		if n := len(load(t, open(t, copied))); n == 100 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("not on disk after 10 s")
		}
	}
}

func TestFiltersSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if got, err := s.LoadFilters(); err != nil || got != nil {
		t.Fatalf("%v, %v", got, err)
	}
	must(t, s.SaveFilters([]string{"a/#", "b/+/c"}), s.Close())
	if got, err := open(t, dir).LoadFilters(); err != nil || !slices.Equal(got, []string{"a/#", "b/+/c"}) {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestEdgeThingsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(s.SaveEdgeThing("agent-1", []byte("1")), s.SaveEdgeThing("*SN", []byte("2")), s.SaveEdgeThing("gone", []byte("3")),
		s.DeleteEdgeThing("gone"), s.SaveFilters([]string{"a/#"}), s.Save("agent-1", []byte("a device")), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	got := map[string]string{}
	if err := s.LoadEdgeThings(func(name string, data []byte) error { got[name] = string(data); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"agent-1": "1", "*SN": "2"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSyncDoesNotWaitForMoreToGather(t *testing.T) {
	s := open(t, t.TempDir())
	least := time.Hour
	for i := range 5 {
		must(t, s.Save(fmt.Sprint(i), nil))
		start := time.Now()
		must(t, s.Sync())
		least = min(least, time.Since(start))
	}
	if least > 40*time.Millisecond {
		t.Fatalf("it takes %v", least)
	}
}

func TestWithoutADirectoryAllIsInMemory(t *testing.T) {
	s := open(t, "")
	must(t, s.Save("a", []byte("1")), s.Save("b", nil), s.Delete("a"), s.SaveFilters([]string{"x"}), s.Sync())
	if got := load(t, s); !maps.Equal(got, map[string]string{"b": ""}) {
		t.Fatalf("%v", got)
	}
	if got, err := s.LoadFilters(); err != nil || !slices.Equal(got, []string{"x"}) {
		t.Fatalf("%v, %v", got, err)
	}
	if s.OutboxPath() != "" || s.Dir() != "" {
		t.Fatalf("%q %q", s.Dir(), s.OutboxPath())
	}
	must(t, s.Close())
	if err := s.Save("c", nil); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("%v", err)
	}
}

func TestAStoreDoesWhatAMapDoes(t *testing.T) {
	base, round := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		dir := filepath.Join(base, fmt.Sprint(round))
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		want := make(map[string]string)
		name := rapid.SampledFrom([]string{"a", "b", "c", "ü/+"})
		t.Repeat(map[string]func(*rapid.T){
			"save": func(t *rapid.T) {
				thing, data := name.Draw(t, "thing"), rapid.String().Draw(t, "data")
				if err := s.Save(thing, []byte(data)); err != nil {
					t.Fatal(err)
				}
				want[thing] = data
			},
			"delete": func(t *rapid.T) {
				thing := name.Draw(t, "thing")
				if err := s.Delete(thing); err != nil {
					t.Fatal(err)
				}
				delete(want, thing)
			},
			"reopen": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = store.Open(dir, store.Options{}); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				got := make(map[string]string)
				if err := s.Load(func(thing string, data []byte) error { got[thing] = string(data); return nil }); err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(got, want) {
					t.Fatalf("%q; want %q", got, want)
				}
			},
		})
	})
}

func TestASecondBridgeIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), holdVar+"="+dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	defer in.Close()
	said := make([]byte, 200)
	n, err := out.Read(said)
	must(t, err)
	if string(said[:n]) != "up\n" {
		t.Fatalf("the child said %q", said[:n])
	}
	_, err = store.Open(dir, store.Options{})
	var locked *store.LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || !strings.Contains(err.Error(), fmt.Sprint("process ", cmd.Process.Pid)) {
		t.Fatalf("%v; the child is %d", err, cmd.Process.Pid)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if got := load(t, open(t, dir)); got["pump-1"] != "saved" {
		t.Fatalf("after the kill: %v", got)
	}
}

func TestADirectoryThatCannotBeUsedSaysWhy(t *testing.T) {
	cases := map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"written by a newer program": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "format"), []byte("thingbridge data directory, format 2\n"), 0o600))
		}, "format 2, this program knows formats up to 1"},
		"a format file of something else": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "format"), []byte("other"), 0o600))
		}, "format is damaged"},
		"a registry cut short": {func(t *testing.T, dir string) {
			must(t, open(t, dir).Close(), os.Truncate(filepath.Join(dir, "registry.db"), 5000))
		}, "registry.db is damaged"},
		"a registry that is none": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "registry.db"), []byte("hello"), 0o600))
		}, "registry.db is damaged"},
		"an empty registry": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "registry.db"), nil, 0o600))
		}, "registry.db is damaged: it is empty"},
		"a registry of a newer format": {func(t *testing.T, dir string) {
			db, err := boltfile.Kind{Format: 7}.Open(filepath.Join(dir, "registry.db"))
			must(t, err, db.Close())
		}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.prepare(t, dir)
			before := snapshot(t, dir)
			_, err := store.Open(dir, store.Options{})
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v", err)
			}
			after := snapshot(t, dir)
			delete(after, "lock")
			delete(before, "lock")
			if _, made := before["format"]; !made {
				delete(after, "format")
			}
			if !maps.Equal(before, after) {
				t.Fatalf("files changed: %v", slices.Collect(maps.Keys(after)))
			}
		})
	}
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	all := make(map[string]string)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		all[f.Name()] = string(b)
	}
	return all
}

func TestADataDirThatIsAFileSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	if _, err := store.Open(path, store.Options{}); err == nil || !strings.Contains(err.Error(), "must name a directory") {
		t.Fatalf("%v", err)
	}
}

// mountSmall mounts a small file system.
func mountSmall(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small file system can only be mounted by root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func TestAReadOnlyFileSystemSaysSo(t *testing.T) {
	dir := mountSmall(t, "size=1m,ro")
	_, err := store.Open(filepath.Join(dir, "data"), store.Options{})
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "read-only") {
		t.Fatalf("%v", err)
	}
}

func TestAFullDiskSaysSoAndLeavesNothingHalfMade(t *testing.T) {
	dir := mountSmall(t, "size=8k")
	data := filepath.Join(dir, "data")
	_, err := store.Open(data, store.Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("%v", err)
	}
	for _, name := range []string{"registry.db", "registry.db.new"} {
		if _, err := os.Stat(filepath.Join(data, name)); err == nil {
			t.Errorf("%s was left", name)
		}
	}
}

func TestADiskThatFillsUpLaterIsToldAndMadeUpFor(t *testing.T) {
	dir := mountSmall(t, "size=1m")
	s := open(t, filepath.Join(dir, "data"))
	must(t, s.Save("a", []byte("1")), s.Sync())
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for chunk := 1 << 16; chunk >= 1; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	must(t, f.Close())
	big := strings.Repeat("x", 100_000)
	must(t, s.Save("b", []byte(big)))
	if err := s.SaveFilters([]string{"x"}); !errors.Is(err, syscall.ENOSPC) || !errors.Is(s.Err(), syscall.ENOSPC) {
		t.Fatalf("%v; %v", err, s.Err())
	}
	want := map[string]string{"a": "1", "b": big}
	if got := load(t, s); !maps.Equal(got, want) {
		t.Fatalf("%d Things while the disk is full", len(got))
	}
	must(t, os.Remove(filler))
	for deadline := time.Now().Add(10 * time.Second); s.Err() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("not written after 10 s with space")
		}
	}
	must(t, s.Close())
	if got := load(t, open(t, filepath.Join(dir, "data"))); !maps.Equal(got, want) {
		t.Fatalf("%d Things after all", len(got))
	}
}

func TestNamesThatCannotBeKeptAreRefused(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"", strings.Repeat("x", 40_000)} {
		if err := s.Save(name, nil); err == nil {
			t.Errorf("a name of %d bytes was taken", len(name))
		}
	}
}

func TestADirectoryOfBeforeGetsItsWrites(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Save("a", []byte("1")), s.Close())
	db, err := bolt.Open(filepath.Join(dir, "registry.db"), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("writes")) }), db.Close())
	writes := func(s *store.Store) string {
		var all []string
		must(t, s.LoadWrites(func(id uint64, data []byte) error { all = append(all, fmt.Sprint(id, string(data))); return nil }))
		return strings.Join(all, " ")
	}
	s = open(t, dir)
	if got := load(t, s); !maps.Equal(got, map[string]string{"a": "1"}) || writes(s) != "" {
		t.Fatalf("%v, writes %q", got, writes(s))
	}
	must(t, s.SaveWrite(256, []byte("c")), s.SaveWrite(2, []byte("b")), s.SaveWrite(1, []byte("a")), s.DeleteWrite(1), s.Close())
	if got := writes(open(t, dir)); got != "2 b 256 c" && got != "2b 256c" {
		t.Errorf("kept are %q", got)
	}
}
