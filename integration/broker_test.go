package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	publicImage   = "eclipse-mosquitto:2"
	dockerTimeout = 3 * time.Minute
)

// mosquittoConf keeps everything that it acknowledged when it is stopped.
// Mosquitto 2.0.11 hands messages over out of order when a client's window of
// messages in flight (20 by default) is full: without a limit it does not. And
// without set_tcp_nodelay each answer waits forty milliseconds.
const mosquittoConf = `listener %s
allow_anonymous true
persistence true
persistence_location %s
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest stderr
log_type warning
log_type error
log_type information
`

// broker is a Mosquitto behind a proxy whose address stays when it is restarted.
type broker struct {
	t     testing.TB // it ends with this test
	run   runner
	proxy *toxiproxy.Proxy
	user  string // that clients must name; "" for none
}

// runner is a way to run a broker.
type runner interface {
	start(t testing.TB) (address string)
	stop(t testing.TB) // SIGTERM
	kind() string
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t, run: chooseRunner(t)}
	b.proxy = newProxy(t, "broker", b.run.start(t))
	t.Logf("broker: %s", b.run.kind())
	return b
}

func (b *broker) url() string { return "tcp://" + b.proxy.Listen }

// deviceURL is url with the user that a device must have.
func (b *broker) deviceURL() string {
	if b.user == "" {
		return b.url()
	}
	return "tcp://" + url.UserPassword(b.user, "x").String() + "@" + b.proxy.Listen
}

// stop ends the broker as an operator does.
func (b *broker) stop() {
	b.t.Helper()
	b.proxy.Stop()
	b.run.stop(b.t)
}

// restart starts it again at the same address.
func (b *broker) restart() {
	b.t.Helper()
	b.proxy.Upstream = b.run.start(b.t)
	up(b.t, b.proxy)
}

func newProxy(t testing.TB, name, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
	up(t, p)
	t.Cleanup(p.Stop)
	return p
}

func up(t testing.TB, p *toxiproxy.Proxy) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatalf("proxy for the %s: %v", p.Name, err)
	}
}

// chooseRunner takes Docker where it answers, else the mosquitto in PATH.
func chooseRunner(t testing.TB) runner {
	t.Helper()
	required := os.Getenv("REQUIRE_DOCKER") == "1"
	if os.Getenv("INTEGRATION_BROKER") != "process" || required {
		err := dockerAnswers()
		if err == nil {
			return &containerRunner{}
		}
		if required {
			t.Fatalf("Docker does not answer, and REQUIRE_DOCKER=1: %v", err)
		}
		t.Logf("no Docker: %v", err)
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		t.Skipf("neither Docker answers nor is mosquitto in PATH: %v", err)
	}
	return &processRunner{path: path, dir: t.TempDir(), address: freeAddress(t)}
}

var dockerAnswers = sync.OnceValue(func() (err error) {
	// The reaper's image would be pulled; every container here has a clean-up of its own.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	provider, err := testcontainers.ProviderDefault.GetProvider()
	if err != nil {
		return err
	}
	defer provider.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return provider.Health(ctx)
})

// processRunner runs mosquitto as a child.
type processRunner struct {
	path, dir, address string
	p                  *process
}

func (r *processRunner) kind() string { return r.path + " as a child process" }

func (r *processRunner) start(t testing.TB) string {
	t.Helper()
	host, port, _ := strings.Cut(r.address, ":")
	conf := fmt.Sprintf(mosquittoConf, port+" "+host, r.dir+"/")
	if os.Geteuid() == 0 {
		conf += "user root\n"
	}
	file := filepath.Join(r.dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	r.p = start(t, "mosquitto", r.path, "-c", file)
	r.p.upOn(t, r.address)
	return r.address
}

func (r *processRunner) stop(t testing.TB) { t.Helper(); r.p.stop(t) }

// containerRunner runs mosquitto in a container.
type containerRunner struct {
	image     string
	container testcontainers.Container
}

func (r *containerRunner) kind() string { return "container of " + r.image }

func (r *containerRunner) start(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	if r.container == nil {
		r.create(ctx, t)
	} else if err := r.container.Start(ctx); err != nil {
		t.Fatalf("start the broker's container again: %v", err)
	}
	var address string
	eventually(t, "the broker's container listens", func() string {
		var tried []string
		if address, tried = r.reach(ctx, t); address == "" {
			return fmt.Sprintf("nobody listens on any of %q", tried)
		}
		return ""
	})
	return address
}

// reach finds the address at which the container answers: the library's guess
// is wrong for a Docker that runs on this very machine while that looks like a container.
func (r *containerRunner) reach(ctx context.Context, t testing.TB) (address string, tried []string) {
	t.Helper()
	guess, err := r.container.PortEndpoint(ctx, "1883/tcp", "")
	if err != nil {
		t.Fatalf("the broker's port: %v", err)
	}
	_, port, err := net.SplitHostPort(guess)
	if err != nil {
		t.Fatalf("the broker's address: %v", err)
	}
	tried = []string{"127.0.0.1:" + port, guess}
	for _, address := range tried {
		if listens(address) {
			return address, tried
		}
	}
	return "", tried
}

func (r *containerRunner) create(ctx context.Context, t testing.TB) {
	t.Helper()
	conf := fmt.Sprintf(mosquittoConf, "1883", "/data/") + "user root\n"
	req := testcontainers.ContainerRequest{
		ExposedPorts: []string{"1883/tcp"},
		Cmd:          []string{"mosquitto", "-c", "/mosquitto.conf"},
		Files:        []testcontainers.ContainerFile{{Reader: strings.NewReader(conf), ContainerFilePath: "/mosquitto.conf", FileMode: 0o644}},
		WaitingFor:   wait.ForLog("mosquitto version .* running").AsRegexp().WithStartupTimeout(patience),
	}
	r.chooseImage(t, &req)
	container, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{ContainerRequest: req, Started: true})
	testcontainers.CleanupContainer(t, container, testcontainers.StopTimeout(time.Second))
	if err != nil {
		t.Fatalf("start the broker's container from %s: %v", r.image, err)
	}
	r.container = container
}

func (r *containerRunner) chooseImage(t testing.TB, req *testcontainers.ContainerRequest) {
	t.Helper()
	if r.image = os.Getenv("INTEGRATION_MOSQUITTO_IMAGE"); r.image != "" {
		req.Image = r.image
		return
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil || runtime.GOOS != "linux" {
		r.image = publicImage
		req.Image = publicImage
		return
	}
	archive, err := mosquittoContext(path)
	if err != nil {
		t.Fatalf("collect %s and its libraries: %v", path, err)
	}
	r.image = path + " and its libraries alone"
	req.FromDockerfile = testcontainers.FromDockerfile{
		ContextArchive: bytes.NewReader(archive),
		Repo:           "thingbridge-test/mosquitto", Tag: "local", KeepImage: true,
	}
}

func (r *containerRunner) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	timeout := stopWait
	if err := r.container.Stop(ctx, &timeout); err != nil {
		t.Fatalf("stop the broker's container: %v", err)
	}
}

var libraryPath = regexp.MustCompile(`(?m)(/\S+) \(0x`)

// mosquittoContext is the build context of an image that holds mosquitto, the
// shared libraries that ldd names, and nothing else.
func mosquittoContext(path string) ([]byte, error) {
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(name string, mode int64, content []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if err := add("Dockerfile", 0o644, []byte("FROM scratch\nCOPY root/ /\nSTOPSIGNAL SIGTERM\n")); err != nil {
		return nil, err
	}
	if err := add("root/data/.keep", 0o644, nil); err != nil {
		return nil, err
	}
	files := map[string]string{path: "/bin/mosquitto"}
	for _, m := range libraryPath.FindAllStringSubmatch(string(out), -1) {
		files[m[1]] = m[1]
	}
	for from, to := range files {
		content, err := readFile(from)
		if err != nil {
			return nil, err
		}
		if err := add("root"+to, 0o755, content); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), w.Close()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
