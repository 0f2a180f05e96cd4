package watch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thingbridge/config/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// steps are done to a folder; path is the file that is watched.
type steps func(t *testing.T, dir, path string)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// configMap swaps ..data as the kubelet does.
func configMap(t *testing.T, dir, version, text string) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
	put(t, filepath.Join(dir, version, "f.yaml"), text)
	must(t, os.Symlink(version, filepath.Join(dir, "..tmp")))
	must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
}

func TestAChangeIsToldHoweverItIsMade(t *testing.T) {
	plain := func(t *testing.T, _, path string) { put(t, path, "one") }
	swapped := func(t *testing.T, dir, path string) {
		configMap(t, dir, "..1", "one")
		must(t, os.Symlink("..data/f.yaml", path))
	}
	for name, test := range map[string]struct{ before, after steps }{
		"written in place": {plain, func(t *testing.T, _, path string) { put(t, path, "two") }},
		"renamed over": {plain, func(t *testing.T, dir, path string) {
			put(t, filepath.Join(dir, "new"), "two")
			must(t, os.Rename(filepath.Join(dir, "new"), path))
		}},
		"removed and made anew": {plain, func(t *testing.T, _, path string) {
			must(t, os.Remove(path))
			put(t, path, "two")
		}},
		"a ConfigMap's data is swapped": {swapped, func(t *testing.T, dir, _ string) {
			configMap(t, dir, "..2", "two")
			must(t, os.RemoveAll(filepath.Join(dir, "..1")))
		}},
		"the folder is a link that is turned": {func(t *testing.T, dir, path string) {
			must(t, os.Mkdir(filepath.Join(dir, "a"), 0o700))
			must(t, os.Mkdir(filepath.Join(dir, "b"), 0o700))
			put(t, filepath.Join(dir, "a", "g.yaml"), "one")
			put(t, filepath.Join(dir, "b", "g.yaml"), "two")
			must(t, os.Symlink("a", filepath.Join(dir, "current")))
			must(t, os.Symlink(filepath.Join(dir, "current", "g.yaml"), path))
		}, func(t *testing.T, dir, _ string) {
			must(t, os.Symlink("b", filepath.Join(dir, "new")))
			must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "current")))
		}},
		"in a chain of links": {func(t *testing.T, dir, path string) {
			must(t, os.Mkdir(filepath.Join(dir, "far"), 0o700))
			put(t, filepath.Join(dir, "far", "h.yaml"), "one")
			must(t, os.Symlink("far/h.yaml", filepath.Join(dir, "near.yaml")))
			must(t, os.Symlink("near.yaml", path))
		}, func(t *testing.T, dir, _ string) { put(t, filepath.Join(dir, "far", "h.yaml"), "two") }},
	} {
		for how, noEvents := range map[string]bool{"by events": false, "by looking": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "f.yaml")
				test.before(t, dir, path)
				opt := watch.Options{Quiet: 20 * time.Millisecond, Poll: time.Hour, NoEvents: noEvents, Known: sha256.Sum256([]byte("one"))}
				if noEvents {
					opt.Poll = 10 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				looked := make(chan struct{}, 1)
				opt.Read = func(p string) ([]byte, error) {
					defer func() {
						select {
						case looked <- struct{}{}:
						default:
						}
					}()
					return os.ReadFile(p)
				}
				told, done := make(chan string, 10), make(chan struct{})
				go func() {
					defer close(done)
					watch.Run(ctx, path, opt, func(text []byte, err error) {
						if err == nil {
							told <- string(text)
						}
					})
				}()
				<-looked // the watch stands before the first look
				test.after(t, dir, path)
				select {
				case got := <-told:
					if got != "two" {
						t.Errorf("%q is told", got)
					}
				case <-ctx.Done():
					t.Error("nothing is told")
				}
				cancel()
				<-done
			})
		}
	}
}

// TestAFileThatIsBeingWrittenIsNotTold runs in a bubble, with a file of its own
// making.
func TestAFileThatIsBeingWrittenIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		var now atomic.Pointer[string] // what stands in the file; nil: there is none
		write := func(text string) { now.Store(&text) }
		write("one")
		read := func(string) ([]byte, error) {
			text := now.Load()
			if text == nil {
				return nil, fs.ErrNotExist
			}
			return []byte(*text), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch.Run(ctx, "/nowhere/f.yaml", watch.Options{Known: sha256.Sum256([]byte("one")), Quiet: 300 * time.Millisecond, Poll: time.Second, NoEvents: true, Read: read},
				func(text []byte, err error) {
					if errors.Is(err, fs.ErrNotExist) {
						text = []byte("missing")
					}
					told = append(told, string(text))
				})
		}()
		time.Sleep(900 * time.Millisecond)
		for _, text := range []string{"t", "tw", "two"} { // a look finds each but the last once
			write(text)
			time.Sleep(250 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		now.Store(nil)
		time.Sleep(200 * time.Millisecond) // shorter than it takes to be sure
		write("two")
		time.Sleep(3 * time.Second)
		now.Store(nil)
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		if len(told) != 2 || told[0] != "two" || told[1] != "missing" {
			t.Errorf("told %q, want two and missing, once each", told)
		}
	})
}

// A content that was taken by another way in between makes the one before it news.
func TestAFileThatGoesBackToWhatWasKnownIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file, taken atomic.Pointer[string]
		one, two := "one", "two"
		file.Store(&one)
		taken.Store(&one)
		sum := func() [sha256.Size]byte { return sha256.Sum256([]byte(*taken.Load())) }
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch.Run(ctx, "/nowhere/f.yaml", watch.Options{Known: sum(), Current: sum, Quiet: 300 * time.Millisecond, Poll: time.Second, NoEvents: true,
				Read: func(string) ([]byte, error) { return []byte(*file.Load()), nil }},
				func(text []byte, _ error) { told = append(told, string(text)) })
		}()
		time.Sleep(1500 * time.Millisecond)
		taken.Store(&two) // the file held it between two looks
		time.Sleep(10 * time.Second)
		taken.Store(&one)
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		if len(told) != 1 || told[0] != "one" {
			t.Errorf("told %q, want one, once", told)
		}
	})
}
