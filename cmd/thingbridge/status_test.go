package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"thingbridge/bridge"
)

// runApp runs an app until the test's end and gives its console's address.
func runApp(t *testing.T, w *world, more string) (url string) {
	t.Helper()
	c := w.config(t, more)
	a, err := newApp(c, slog.New(slog.DiscardHandler), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + a.consoles.now().Addr().String()
}

func TestARunningBridgeIsAsked(t *testing.T) {
	w := newWorld(t)
	url := runApp(t, w, "")
	until(t, "a value has arrived", func() bool { _, ok := w.platform.Value("pump-1", "temp"); return ok })
	t.Chdir(t.TempDir())
	for name, test := range map[string]struct {
		args   []string
		status int
		out    string
	}{
		"status":                                   {[]string{"status"}, 0, "app-test"},
		"status as JSON":                           {[]string{"status", "--json"}, 0, `"clientId": "app-test"`},
		"it lives":                                 {[]string{"status", "--alive"}, 0, "alive"},
		"it is ready":                              {[]string{"status", "--ready"}, 0, "platform  up"},
		"alive and ready at once":                  {[]string{"status", "--ready", "--alive"}, 2, "ready"},
		"things":                                   {[]string{"things"}, 0, "pump-2  ready"},
		"things by prefix":                         {[]string{"things", "--prefix", "none-"}, 0, "no Things"},
		"things by state":                          {[]string{"things", "--state", "refused", "--json"}, 0, `"total": 0`},
		"things by a state that there is not":      {[]string{"things", "--state", "redy"}, 1, "state: expected one of [offline"},
		"a Thing with its values":                  {[]string{"things", "pump-1"}, 0, "push VALUE"},
		"a Thing with its services":                {[]string{"things", "pump-1"}, 0, "Add(a NUMBER, b NUMBER)"},
		"a Thing as JSON":                          {[]string{"things", "pump-1", "--json"}, 0, `"serviceDefinitions"`},
		"a Thing that is not there":                {[]string{"things", "none"}, 1, `no Thing "none"`},
		"a call where calls are not allowed":       {[]string{"call", "pump-1", "Add", "a=2", "b=3"}, 1, "set console.allow_calls to true"},
		"a call whose input has no name":           {[]string{"call", "pump-1", "Add", "2"}, 2, "expected name=value"},
		"a call with an input twice":               {[]string{"call", "pump-1", "Add", "a=2", "a=3"}, 2, "given twice"},
		"a call without a service":                 {[]string{"call", "pump-1"}, 2, "expected THING SERVICE"},
		"a call with a text where a number is due": {[]string{"call", "pump-1", "Add", "a=x"}, 1, `a: "x" is no NUMBER`},
	} {
		t.Run(name, func(t *testing.T) {
			out := newOutput()
			if status := execute(t.Context(), append(test.args, "--console", url), out, out); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("no %q in\n%s", test.out, out)
			}
		})
	}
}

func TestCallsGoThroughTheConsoleOfTheConfiguration(t *testing.T) {
	w := newWorld(t)
	t.Setenv("STATUS_TEST_TOKEN", "the-token")
	t.Setenv("THINGBRIDGE_CONSOLE_ALLOW_CALLS", "true")
	t.Setenv("THINGBRIDGE_CONSOLE_TOKEN", "the-token")
	url := runApp(t, w, "")
	until(t, "pump-1 is bound", func() bool { return w.connected()["pump-1"] })
	t.Chdir(t.TempDir())
	if err := os.WriteFile("thingbridge.yaml", []byte(goodConfig+"console: {listen: \""+strings.TrimPrefix(url, "http://")+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		status int
		out    string
	}{
		"a result":                            {[]string{"call", "pump-1", "Add", "a=2", "b=3"}, 0, "5\n"},
		"a result as JSON":                    {[]string{"call", "pump-1", "Add", "a=2", "b=3", "--json"}, 0, `"result": 5`},
		"the device's error":                  {[]string{"call", "pump-1", "Fail"}, 1, "simulated failure (500)"},
		"a service that is not there":         {[]string{"call", "pump-1", "None"}, 1, "None"},
		"the token is not sent elsewhere":     {[]string{"status", "--console", url}, 1, "give the token with --token"},
		"a token that is given":               {[]string{"status", "--console", url, "--token", "${env:STATUS_TEST_TOKEN}"}, 0, "app-test"},
		"a wrong token":                       {[]string{"status", "--token", "wrong"}, 1, "refuses the token"},
		"a token that cannot be read":         {[]string{"status", "--token", "${file:/none}"}, 1, "--token: "},
		"a probe needs no token":              {[]string{"status", "--ready", "--console", url}, 0, "broker"},
		"a configuration that is not there":   {[]string{"status", "--config", "none.yaml"}, 1, "name it with --console URL"},
		"things by the configuration's token": {[]string{"things"}, 0, "pump-1"},
	} {
		t.Run(name, func(t *testing.T) {
			out := newOutput()
			if status := execute(t.Context(), test.args, out, out); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("no %q in\n%s", test.out, out)
			}
		})
	}
}

func TestWhatAnswersOddlyIsTold(t *testing.T) {
	t.Chdir(t.TempDir())
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/status":
			fmt.Fprint(w, "<html>")
		case "/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"ready":false,"links":[{"name":"broker","up":false,"reason":"refused\u001b[31m"}]}`)
		case "/api/v1/things":
			fmt.Fprint(w, `{"things":[7],"total":1}`)
		default:
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}
	}))
	defer odd.Close()
	for name, test := range map[string]struct {
		args []string
		out  string
	}{
		"no JSON":                        {[]string{"status", "--console", odd.URL}, "is no thingbridge"},
		"JSON of another form":           {[]string{"things", "--console", odd.URL}, "in another form"},
		"a redirection is not followed":  {[]string{"status", "--alive", "--console", odd.URL}, "302 Found"},
		"not ready, and a safe terminal": {[]string{"status", "--ready", "--console", odd.URL}, `broker  down  refused\u001b[31m`},
		"nobody":                         {[]string{"status", "--console", "http://127.0.0.1:1"}, "is the bridge running?"},
		"an address that is none":        {[]string{"status", "--console", "127.0.0.1"}, "expected http://HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			out := newOutput()
			if status := execute(t.Context(), test.args, out, out); status != 1 {
				t.Errorf("status %d, want 1", status)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("no %q in\n%s", test.out, out)
			}
		})
	}
}

func TestTheConsoleIsFoundWhereItListens(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:8480": "127.0.0.1:8480", ":8480": "127.0.0.1:8480", "[::]:8480": "[::1]:8480", "10.0.0.7:1": "10.0.0.7:1", "localhost:2": "localhost:2",
	} {
		if got := dialable(listen); got != want {
			t.Errorf("%s is asked at %s, want %s", listen, got, want)
		}
	}
}

func TestInputsAreTakenAsTheServiceDeclaresThem(t *testing.T) {
	for _, test := range []struct{ baseType, text, want string }{
		{"STRING", "007", `"007"`},
		{"STRING", `say "so"`, `"say \"so\""`},
		{"NUMBER", "2.5", "2.5"},
		{"BOOLEAN", "true", "true"},
		{"JSON", `{"a": [1]}`, `{"a": [1]}`},
		{"DATETIME", "2026-01-02T03:04:05Z", `"2026-01-02T03:04:05Z"`},
		{"", "5", "5"},
		{"", "five", `"five"`},
		{"VARIANT", "null", "null"},
	} {
		got, err := inputJSON(test.baseType, test.text)
		if err != nil || string(got) != test.want || !json.Valid(got) {
			t.Errorf("%s %q is %s (%v), want %s", test.baseType, test.text, got, err, test.want)
		}
	}
	for _, baseType := range []string{"NUMBER", "BOOLEAN", "LOCATION"} {
		if got, err := inputJSON(baseType, "x y"); err == nil {
			t.Errorf("%s took %s", baseType, got)
		}
	}
}

func TestTheStatusTellsWhoHasNotAnnouncedItself(t *testing.T) {
	now := time.Now()
	s := &status{Bridge: bridge.Status{Unannounced: []bridge.Unannounced{
		{Thing: "ghost", Messages: 1, Last: now.Add(-5 * time.Second)}, {Thing: "spook", Messages: 7, Last: now.Add(-time.Minute)},
	}, Strangers: 7}}
	out := newOutput()
	if err := table(out, statusRows(s, now)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ghost  has not announced itself: 1 message waits, the last 5s ago", "spook  has not announced itself: 7 messages wait, the last 1m", "unknown  and 5 more"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestTimesAndSizesReadWell(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for back, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3 * time.Hour: "3h00m", 72 * time.Hour: "3d",
	} {
		if got := ago(now, now.Add(-back)); got != want {
			t.Errorf("%v ago reads %s, want %s", back, got, want)
		}
	}
	if got := ago(now, time.Time{}); got != "-" {
		t.Errorf("no time reads %s", got)
	}
	for bytes, want := range map[int64]string{5: "5 B", 1536: "1.5 KiB", 3 << 20: "3.0 MiB", 5 << 30: "5.0 GiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes read %s, want %s", bytes, got, want)
		}
	}
}
