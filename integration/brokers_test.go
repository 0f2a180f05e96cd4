package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	embedded "thingbridge/bridge/mqttbus/broker"
)

// kindOfBroker is one of the brokers that the bridge is tried with.
type kindOfBroker struct {
	name string
	find func() (path string, err error) // of its program
	make func(t testing.TB, path string) runner
	user string // that its clients must have; "" for none
	slow bool   // to start, or to be stopped
}

var kindsOfBroker = []kindOfBroker{
	{name: "mosquitto", find: inPath("mosquitto"), make: func(t testing.TB, path string) runner {
		return &processRunner{path: path, dir: t.TempDir(), address: freeAddress(t)}
	}},
	{name: "rabbitmq", find: installed("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"), make: newRabbit, slow: true},
	{name: "nats", find: inPath("nats-server"), make: newNATS, slow: true},
	{name: "ejabberd", find: installed("/usr/lib/*/ejabberd-*/ebin/mod_mqtt.beam"), make: newEjabberd, user: "u@localhost", slow: true},
	{name: "embedded", find: func() (string, error) { return "", nil }, make: func(t testing.TB, _ string) runner {
		return &embeddedRunner{address: freeAddress(t)}
	}},
}

func inPath(name string) func() (string, error) {
	return func() (string, error) { return exec.LookPath(name) }
}

func installed(pattern string) func() (string, error) {
	return func() (string, error) {
		found, err := filepath.Glob(pattern)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("there is no %s", pattern)
		}
		if err != nil {
			return "", err
		}
		return found[len(found)-1], nil
	}
}

// newBrokerOf starts a broker of a kind, or skips where it is not installed, or
// where it takes minutes and was not asked for.
func newBrokerOf(t testing.TB, k kindOfBroker) *broker {
	t.Helper()
	if k.slow && os.Getenv("BROKERS") != "all" {
		t.Skipf("%s takes minutes: make brokers tries it", k.name)
	}
	path, err := k.find()
	if err != nil {
		if os.Getenv("REQUIRE_BROKERS") == "1" {
			t.Fatalf("%s is not installed, and REQUIRE_BROKERS=1: %v", k.name, err)
		}
		t.Skipf("%s is not installed: %v", k.name, err)
	}
	b := &broker{t: t, run: k.make(t, path), user: k.user}
	b.proxy = newProxy(t, "broker", b.run.start(t))
	t.Logf("broker: %s", b.run.kind())
	return b
}

// command runs a broker's program with an environment and a folder of its own.
type command struct {
	title, path, address string
	args, env            []string
	p                    *process
}

func (c *command) kind() string { return c.title + " as a child process" }

func (c *command) start(t testing.TB) string {
	t.Helper()
	c.p = startIn(t, c.title, c.env, c.path, c.args...)
	c.p.upOn(t, c.address)
	return c.address
}

func (c *command) stop(t testing.TB) { t.Helper(); c.p.end(t) }

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func port(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func newNATS(t testing.TB, path string) runner {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	write(t, dir+"/nats.conf", fmt.Sprintf("listen: \"127.0.0.1:-1\"\nserver_name: test\njetstream { store_dir: %q }\nmqtt { host: 127.0.0.1, port: %s }\n",
		dir+"/js", port(t, address)))
	return &command{title: "nats-server", path: path, address: address, args: []string{"-c", dir + "/nats.conf"}}
}

func newEjabberd(t testing.TB, beam string) runner {
	t.Helper()
	erl, err := exec.LookPath("erl")
	if err != nil {
		t.Fatalf("ejabberd is there, Erlang is not: %v", err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	write(t, dir+"/ejabberd.yml", `hosts: [localhost]
loglevel: warning
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
listen: [{port: `+port(t, address)+`, ip: 127.0.0.1, module: mod_mqtt, backlog: 1000}]
modules: {mod_mqtt: {session_expiry: 1 hour, max_queue: infinity}}
`)
	libraries, _, _ := strings.Cut(beam, "/ejabberd-")
	return &command{title: "ejabberd", path: erl, address: address,
		args: []string{"-noinput", "-mnesia", "dir", fmt.Sprintf("%q", dir+"/db"), "-s", "ejabberd"},
		env:  []string{"HOME=" + dir, "EJABBERD_CONFIG_PATH=" + dir + "/ejabberd.yml", "EJABBERD_LOG_PATH=" + dir + "/log", "ERL_LIBS=" + libraries}}
}

// rabbit is RabbitMQ with the port mapper that Erlang would else leave behind.
type rabbit struct {
	command
	mapper command
}

func (r *rabbit) start(t testing.TB) string {
	t.Helper()
	r.mapper.start(t)
	return r.command.start(t)
}

func (r *rabbit) stop(t testing.TB) {
	t.Helper()
	r.command.stop(t)
	r.mapper.p.kill()
}

func newRabbit(t testing.TB, path string) runner {
	t.Helper()
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		t.Fatalf("RabbitMQ is there, epmd is not: %v", err)
	}
	dir, address, mapper := t.TempDir(), freeAddress(t), freeAddress(t)
	write(t, dir+"/rabbitmq.conf", "listeners.tcp.1 = "+freeAddress(t)+"\nmqtt.listeners.tcp.1 = "+address+`
mqtt.listeners.ssl = none
mqtt.allow_anonymous = true
mqtt.prefetch = 100
mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_dets
log.console.level = warning
`)
	write(t, dir+"/plugins", "[rabbitmq_mqtt].\n")
	return &rabbit{
		mapper: command{title: "epmd", path: epmd, address: mapper, args: []string{"-port", port(t, mapper), "-address", "127.0.0.1"}},
		command: command{title: "rabbitmq-server", path: path, address: address, env: []string{
			"HOME=" + dir, "RABBITMQ_NODENAME=t" + port(t, address) + "@localhost", "RABBITMQ_CONFIG_FILE=" + dir + "/rabbitmq.conf",
			"RABBITMQ_MNESIA_BASE=" + dir + "/mnesia", "RABBITMQ_LOG_BASE=" + dir + "/log", "RABBITMQ_LOGS=-",
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + dir + "/plugins", "RABBITMQ_PID_FILE=" + dir + "/pid",
			"RABBITMQ_DIST_PORT=" + port(t, freeAddress(t)), "ERL_EPMD_PORT=" + port(t, mapper), "ERL_EPMD_ADDRESS=127.0.0.1",
			"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		}}}
}

// embeddedRunner is the broker of the demo. It keeps nothing over its end.
type embeddedRunner struct {
	address string
	broker  *embedded.Broker
}

func (r *embeddedRunner) kind() string { return "the embedded broker" }

func (r *embeddedRunner) start(t testing.TB) string {
	t.Helper()
	var err error
	if r.broker, err = embedded.New(embedded.Options{Listen: r.address}); err != nil {
		t.Fatal(err)
	}
	started := r.broker
	eventually(t, "the embedded broker listens", func() string {
		if err := started.Start(); err != nil {
			return err.Error()
		}
		return ""
	})
	t.Cleanup(func() { _ = started.Close() })
	return r.address
}

func (r *embeddedRunner) stop(t testing.TB) {
	t.Helper()
	if err := r.broker.Close(); err != nil {
		t.Fatal(err)
	}
}
