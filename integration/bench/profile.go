package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// profiler is added to the program when profiles are wanted: it begins a
// processor profile at the start, and anew on SIGUSR1; on SIGUSR2 it ends it and
// writes heap and allocations too.
const profiler = `package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
)

func init() {
	dir := os.Getenv("THINGBRIDGE_BENCH_PROFILE")
	if dir == "" {
		return
	}
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGUSR1, syscall.SIGUSR2)
	begin := func() {
		pprof.StopCPUProfile()
		if f, err := os.Create(dir + "/cpu"); err == nil {
			_ = pprof.StartCPUProfile(f)
		}
	}
	begin()
	go func() {
		for s := range ch {
			if s == syscall.SIGUSR1 {
				begin()
				continue
			}
			pprof.StopCPUProfile()
			runtime.GC()
			for _, name := range []string{"heap", "allocs", "goroutine"} {
				if f, err := os.Create(dir + "/" + name); err == nil {
					_ = pprof.Lookup(name).WriteTo(f, 0)
					_ = f.Close()
				}
			}
			_ = os.WriteFile(dir+"/done", nil, 0o600)
		}
	}()
}
`

// build builds the program, unless one was named; with profiles, by adding the
// profiler to it.
func (m *machine) build() error {
	if m.binary != "" {
		return nil
	}
	m.binary = filepath.Join(m.dir, "thingbridge")
	args := []string{"build", "-trimpath", "-o", m.binary}
	if m.profiles != "" {
		root, err := moduleDir()
		if err != nil {
			return err
		}
		source := filepath.Join(m.dir, "profiler.go.txt")
		if err := os.WriteFile(source, []byte(profiler), 0o600); err != nil {
			return err
		}
		added := filepath.Join(root, "cmd", "thingbridge", "zz_profiler.go")
		overlay, err := json.Marshal(map[string]map[string]string{"Replace": {added: source}})
		if err != nil {
			return err
		}
		file := filepath.Join(m.dir, "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			return err
		}
		args = append(args, "-overlay", file)
	}
	cmd := exec.Command("go", append(args, "thingbridge/cmd/thingbridge")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build thingbridge: %w: %s", err, out)
	}
	return nil
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// profiled does work while the bridge writes a profile, if profiles are wanted.
func (m *machine) profiled(br *bridge, name string, work func() error) error {
	if m.interrupted.Load() {
		return errInterrupted
	}
	if m.profiles == "" {
		return work()
	}
	if err := br.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return m.profile(br, name)
}

// profile has the bridge write the profile of what it did since it was asked
// last, or since its start, if profiles are wanted.
func (m *machine) profile(br *bridge, name string) error {
	if m.profiles == "" {
		return nil
	}
	if err := br.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	done := filepath.Join(m.dir, "done")
	if err := waitFor(20*time.Second, lookEvery, "the profile is written", func() (bool, error) {
		_, err := os.Stat(done)
		return err == nil, br.ended()
	}); err != nil {
		return err
	}
	base := unfit.ReplaceAllString(name, "-")
	for _, kind := range []string{"cpu", "heap", "allocs", "goroutine"} {
		if err := os.Rename(filepath.Join(m.dir, kind), filepath.Join(m.profiles, base+"."+kind)); err != nil {
			return err
		}
	}
	return os.Remove(done)
}
