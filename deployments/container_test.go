package deployments

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	testImage     = "thingbridge-test/bridge:deployments"
	testMosquitto = "thingbridge-test/mosquitto:deployments"
)

var libraryPath = regexp.MustCompile(`(?m)(/\S+) \(0x`)

// mosquittoImage gives an image with a Mosquitto: the one that is named in the
// environment, else one of this machine's mosquitto and its libraries alone.
func mosquittoImage(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("INTEGRATION_MOSQUITTO_IMAGE"); named != "" {
		return named
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		t.Skip("mosquitto is not in PATH (Debian: mosquitto), and INTEGRATION_MOSQUITTO_IMAGE names no image")
	}
	libraries, err := exec.Command("ldd", path).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", path, err)
	}
	dir := t.TempDir()
	files := map[string]string{path: "bin/mosquitto"}
	for _, m := range libraryPath.FindAllStringSubmatch(string(libraries), -1) {
		files[m[1]] = m[1]
	}
	for from, to := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "root", to), string(content), 0o755)
	}
	put(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY root/ /\nENV PATH=/bin\n", 0o644)
	command(t, nil, "docker", "build", "--quiet", "--tag", testMosquitto, dir)
	return testMosquitto
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func buildImage(t *testing.T) {
	t.Helper()
	command(t, []string{"IMAGE=" + testImage, "CONTEXT=" + filepath.Join(t.TempDir(), "context"), "VERSION=v9.9.9"}, "deployments/docker/build", "--quiet")
}

func TestTheImageHasNoRootAndNoShell(t *testing.T) {
	needsDocker(t)
	buildImage(t)
	if out := command(t, nil, "docker", "run", "--rm", "--network", "none", testImage, "version"); !strings.Contains(out, "v9.9.9") {
		t.Errorf("version says %s", out)
	}
	if out, err := try(t, nil, "docker", "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", testImage); err == nil {
		t.Errorf("there is a shell: %s", out)
	}
	var images []struct {
		Config struct {
			User        string
			Healthcheck struct{ Test []string }
		}
		Size int
	}
	if err := json.Unmarshal([]byte(command(t, nil, "docker", "image", "inspect", testImage)), &images); err != nil {
		t.Fatal(err)
	}
	c := images[0].Config
	if c.User != "65532:65532" || len(c.Healthcheck.Test) == 0 {
		t.Errorf("user %q, health check %q", c.User, c.Healthcheck.Test)
	}
	t.Logf("the image has %d MB", images[0].Size/1_000_000)
}

func TestTheContextHasEachArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the program for other machines")
	}
	dir := filepath.Join(t.TempDir(), "context")
	authorities := filepath.Join(t.TempDir(), "authorities.crt")
	put(t, authorities, "an authority", 0o644)
	command(t, []string{"CONTEXT=" + dir, "CONTEXT_ONLY=1", "AUTHORITIES=" + authorities, "PLATFORMS=linux/amd64,linux/arm64"}, "deployments/docker/build")
	for file, magic := range map[string]string{"linux/amd64/thingbridge": "\x3e\x00", "linux/arm64/thingbridge": "\xb7\x00"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if string(b[18:20]) != magic {
			t.Errorf("%s is for machine %x", file, b[18:20])
		}
	}
}

func TestTheComposeFileRuns(t *testing.T) {
	needs(t, "docker-compose", "docker-compose")
	const file = "deployments/compose/docker-compose.yml"
	out := command(t, nil, "docker-compose", "-f", file, "config")
	for _, want := range []string{"prom/prometheus", "grafana/grafana", "eclipse-mosquitto"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	needsDocker(t)
	mosquitto := mosquittoImage(t)
	buildImage(t)
	project := fmt.Sprintf("thingbridge-test-%d", os.Getpid())
	env := []string{"THINGBRIDGE_IMAGE=" + testImage, "MOSQUITTO_IMAGE=" + mosquitto, "CONSOLE_PORT=0", "PLATFORM_PORT=0"}
	compose := func(args ...string) (string, error) {
		return try(t, env, "docker-compose", append([]string{"-f", file, "-p", project}, args...)...)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := compose("logs", "--no-color", "--tail", "30")
			t.Log(logs)
		}
		if out, err := compose("down", "--volumes", "--timeout", "20"); err != nil {
			t.Errorf("docker-compose down: %v\n%s", err, out)
		}
	})
	if out, err := compose("up", "-d", "mosquitto", "platform", "devices", "bridge"); err != nil {
		t.Fatalf("docker-compose up: %v\n%s", err, out)
	}
	ask := func(args ...string) (string, error) {
		return compose(append([]string{"exec", "-T", "bridge", "/thingbridge"}, args...)...)
	}
	eventually(t, "twenty Things are ready", func() string {
		out, err := ask("things", "--state", "ready", "--json")
		if err != nil || !strings.Contains(out, `"total": 20`) {
			return out
		}
		return ""
	})
	if out, err := ask("call", "pump-7", "Add", "a=2", "b=3"); err != nil || strings.TrimSpace(out) != "5" {
		t.Errorf("a call: %v, %s", err, out)
	}
	if out, err := ask("status", "--ready"); err != nil {
		t.Errorf("not ready: %v, %s", err, out)
	}
	// The bridge starts again on its data directory.
	if out, err := compose("restart", "bridge"); err != nil {
		t.Fatalf("docker-compose restart: %v\n%s", err, out)
	}
	eventually(t, "the bridge is back and healthy", func() string {
		out, err := ask("things", "--state", "ready", "--json")
		if err != nil || !strings.Contains(out, `"total": 20`) {
			return out
		}
		return ""
	})
	if out, err := ask("status", "--alive"); err != nil {
		t.Errorf("the health check says %v %s", err, out)
	}
}
