package deployments

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 60 * time.Second

// binary is the built program.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "thingbridge-deployments-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "thingbridge")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "thingbridge/cmd/thingbridge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build thingbridge: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command runs a program in the repository's root to its end.
func command(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	out, err := try(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t testing.TB, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually waits until ok says "" and fails with what it said last.
func eventually(t testing.TB, what string, ok func() string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		why := ok()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v: %s", what, patience, why)
		}
	}
}

// needs skips the test where a tool is not there.
func needs(t testing.TB, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is not in PATH (Debian: %s)", tool, pkg)
	}
}

// needsDocker skips the test where no Docker answers, unless REQUIRE_DOCKER is 1.
func needsDocker(t testing.TB) {
	t.Helper()
	out, err := try(t, nil, "docker", "version")
	if err == nil {
		return
	}
	if os.Getenv("REQUIRE_DOCKER") == "1" {
		t.Fatalf("Docker does not answer, and REQUIRE_DOCKER=1: %v\n%s", err, out)
	}
	t.Skipf("Docker does not answer: %v", err)
}

// output takes what a child says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// demo runs the demo until the test's end and gives its console's address.
func demo(t *testing.T) (url string) {
	t.Helper()
	var said output
	cmd := exec.Command(binary, "demo", "--mqtt", "127.0.0.1:0", "--platform", "127.0.0.1:0", "--console", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("demo: %v\n%s", err, &said)
		}
	})
	console := regexp.MustCompile(`bridge's page\s+(http://\S+)`)
	eventually(t, "the demo says where its console is and answers a call", func() string {
		m := console.FindStringSubmatch(said.String())
		if m == nil || !strings.Contains(said.String(), "pump-1.Add") {
			return "it said " + said.String()
		}
		url = m[1]
		return ""
	})
	return url
}
