package deployments

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	metricName = regexp.MustCompile(`\b(?:thingbridge|process|go)_[a-z_]+\b`)
	seriesEnd  = regexp.MustCompile(`_(bucket|sum|count)$`)
	tableRow   = regexp.MustCompile("(?m)^\\| `(thingbridge_[a-z_]+)` \\| ([a-z]+) \\| (.*) \\|$")
)

// family is a metric of a running bridge.
type family struct{ kind, help string }

func families(t *testing.T) map[string]family {
	t.Helper()
	resp, err := http.Get(demo(t) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s %v", resp.Status, err)
	}
	found := map[string]family{}
	for line := range strings.Lines(string(text)) {
		part := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(part) < 4 || part[0] != "#" {
			continue
		}
		f := found[part[2]]
		if part[1] == "HELP" {
			f.help = part[3]
		} else {
			f.kind = part[3]
		}
		found[part[2]] = f
	}
	return found
}

// countedInSource reports whether the program declares a metric whose series
// show from the first count on only.
func countedInSource(t *testing.T, name string) bool {
	t.Helper()
	source, err := os.ReadFile("../bridge/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(source), `vec("`+strings.TrimPrefix(name, "thingbridge_")+`"`)
}

type dashboard struct {
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// queries are the expressions of the dashboard and of the alerts, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var d dashboard
	text, err := os.ReadFile("compose/grafana/dashboards/thingbridge.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all["dashboard: "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if text, err = os.ReadFile("compose/prometheus/alerts.yml"); err == nil {
		err = yaml.Unmarshal(text, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		all["alert: "+r.Alert] = r.Expr
	}
	if len(all) < 30 {
		t.Fatalf("only %d queries were found", len(all))
	}
	return all
}

func TestMetricsAreWhatDashboardAlertsAndDocumentsSay(t *testing.T) {
	found := families(t)
	for where, expr := range queries(t) {
		for _, name := range metricName.FindAllString(expr, -1) {
			_, plain := found[name]
			h, histogram := found[seriesEnd.ReplaceAllString(name, "")]
			if !plain && !(histogram && h.kind == "histogram") && !countedInSource(t, name) {
				t.Errorf("%s asks for %s, which no bridge has", where, name)
			}
		}
	}
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range tableRow.FindAllStringSubmatch(string(text), -1) {
		name, kind, help := m[1], m[2], m[3]
		documented[name] = true
		switch f, ok := found[name]; {
		case !ok && !countedInSource(t, name):
			t.Errorf("docs/operating.md: no bridge has %s", name)
		case ok && (f.kind != kind || !strings.HasPrefix(help, f.help)):
			t.Errorf("docs/operating.md says of %s\n  %s: %s\nand the bridge\n  %s: %s", name, kind, help, f.kind, f.help)
		}
	}
	for name, f := range found {
		if strings.HasPrefix(name, "thingbridge_") && !documented[name] {
			t.Errorf("docs/operating.md has no row\n| `%s` | %s | %s |", name, f.kind, f.help)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(queries(t))) {
		if alert, ok := strings.CutPrefix(r, "alert: "); ok && !strings.Contains(string(text), "`"+alert+"`") {
			t.Errorf("docs/operating.md does not tell of the alert %s", alert)
		}
	}
}

func TestAlertRulesFire(t *testing.T) {
	needs(t, "promtool", "prometheus")
	dir, err := filepath.Abs("compose/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	command(t, nil, "promtool", "check", "config", filepath.Join(dir, "prometheus.yml"))
	command(t, nil, "promtool", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
}

func TestDashboardQueriesAreValid(t *testing.T) {
	needs(t, "promtool", "prometheus")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	stand := strings.NewReplacer("$__rate_interval", "1m", "$job", "thingbridge", "$instance", ".*")
	for _, expr := range queries(t) {
		quoted, err := json.Marshal(stand.Replace(expr))
		if err != nil {
			t.Fatal(err)
		}
		rules.WriteString("  - record: a:b\n    expr: " + string(quoted) + "\n")
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := command(t, nil, "promtool", "check", "rules", "--lint=none", file); !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
}
