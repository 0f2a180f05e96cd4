package deployments

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"thingbridge/config"
)

func TestTheDebianPackageHoldsWhatItShould(t *testing.T) {
	needs(t, "dpkg-deb", "dpkg")
	dir := t.TempDir()
	command(t, []string{"OUT=" + dir, "VERSION=v1.2.3"}, "deployments/debian/build")
	found, err := filepath.Glob(filepath.Join(dir, "thingbridge_1.2.3_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages %q, %v", found, err)
	}
	list := command(t, nil, "dpkg-deb", "--contents", found[0])
	for _, want := range []string{
		"-rwxr-xr-x root/root", "./usr/bin/thingbridge\n", "./lib/systemd/system/thingbridge.service\n",
		"./etc/thingbridge/thingbridge.yaml\n", "./usr/share/doc/thingbridge/copyright\n", "./usr/share/doc/thingbridge/examples/minimal.yaml\n",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	root := filepath.Join(dir, "root")
	command(t, nil, "dpkg-deb", "--raw-extract", found[0], root)
	if out := command(t, nil, filepath.Join(root, "usr/bin/thingbridge"), "version"); !strings.Contains(out, "v1.2.3") {
		t.Errorf("the binary says %s", out)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	unit := read("lib/systemd/system/thingbridge.service")
	if !strings.Contains(unit, "/usr/bin/thingbridge run") || strings.Contains(unit, "/usr/local") {
		t.Errorf("the unit starts another binary:\n%s", unit)
	}
	if got := read("DEBIAN/conffiles"); got != "/etc/thingbridge/thingbridge.yaml\n" {
		t.Errorf("conffiles %q", got)
	}
	// Whatever the unit hands over, the installation provides.
	postinst := read("DEBIAN/postinst")
	for line := range strings.Lines(unit) {
		if credential, ok := strings.CutPrefix(strings.TrimSpace(line), "LoadCredential="); ok {
			name, _, _ := strings.Cut(credential, ":")
			if !strings.Contains(postinst, name) {
				t.Errorf("the unit wants %s, which postinst does not make", name)
			}
		}
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		command(t, nil, "sh", "-n", filepath.Join(root, "DEBIAN", script))
	}
}

// TestShippedConfigurationsAreFine reads each with its secrets put in place.
func TestShippedConfigurationsAreFine(t *testing.T) {
	secrets := t.TempDir()
	for _, name := range []string{"app_key", "mqtt_password", "console_token"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte("x-"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	texts := map[string]string{}
	for _, file := range []string{"debian/thingbridge.yaml", "compose/thingbridge.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(b)
	}
	b, err := os.ReadFile("kubernetes/configmap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var configMap struct{ Data map[string]string }
	if err := yaml.Unmarshal(b, &configMap); err != nil {
		t.Fatal(err)
	}
	texts["kubernetes/configmap.yaml"] = configMap.Data["thingbridge.yaml"]
	place := strings.NewReplacer("/run/credentials/thingbridge.service", secrets, "/run/secrets/thingbridge", secrets)
	for file, text := range texts {
		c, problems := config.Parse([]byte(place.Replace(text)), config.Options{File: file})
		if c == nil {
			t.Errorf("%s: %v", file, problems)
			continue
		}
		for _, p := range problems {
			if !strings.HasPrefix(file, "compose/") {
				t.Errorf("%s: %v", file, p)
			}
		}
	}
}

// TestTheSystemdUnitIsFine has systemd read the unit as it is shipped.
func TestTheSystemdUnitIsFine(t *testing.T) {
	needs(t, "systemd-analyze", "systemd")
	text, err := os.ReadFile("systemd/thingbridge.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "thingbridge.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/thingbridge", binary)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := command(t, nil, "systemd-analyze", "verify", unit); out != "" {
		t.Errorf("systemd says of it:\n%s", out)
	}
	out := command(t, nil, "systemd-analyze", "security", "--offline=true", unit)
	if want := "Overall exposure level for thingbridge.service: 1.1 OK"; !strings.Contains(out, want) {
		t.Errorf("docs/security.md has the exposure level 1.1; systemd says:\n%s", out)
	}
}
