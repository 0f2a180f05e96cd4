package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const restToken = "a-token-for-tests"

// side is a REST to ask: the platform's own, or the bridge's.
type side struct {
	t    testing.TB
	http *http.Client
	vars map[string]string // of the curl lines
}

func newSide(t testing.TB, name, address, key string) *side {
	s := &side{t: t, http: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 300}}}
	t.Cleanup(s.http.CloseIdleConnections)
	s.vars = map[string]string{
		"URL": "http://" + address + "/Thingworx", "KEY": key, "SIDE": name,
		"LONG": strings.Repeat("x", 300), "BIG": `{"text":"` + strings.Repeat("x", 2<<20) + `"}`,
	}
	return s
}

// curl does what a curl line says, of which it knows -s, -X, -H and -d.
func (s *side) curl(line string) answer {
	s.t.Helper()
	words := shellWords(s.t, line, s.vars)
	method, body, target := "", "", ""
	header := http.Header{"Accept": {"*/*"}}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-s":
		case "-X", "-H", "-d":
			value := words[i+1]
			switch words[i] {
			case "-X":
				method = value
			case "-d":
				body = value
			default:
				name, text, _ := strings.Cut(value, ": ")
				header.Set(name, text)
			}
			i++
		default:
			target = words[i]
		}
	}
	if body != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	req.Header = header
	began := time.Now()
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{code: -1, body: err.Error(), took: time.Since(began)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{code: -1, body: err.Error(), took: time.Since(began)}
	}
	return answer{code: resp.StatusCode, body: string(text), took: time.Since(began)}
}

// shellWords splits a line as a shell does, with ”, "" and $NAME.
func shellWords(t testing.TB, line string, vars map[string]string) []string {
	t.Helper()
	var words []string
	var word strings.Builder
	quote, in := byte(0), false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case quote == 0 && c == ' ':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		case quote != '\'' && c == '$':
			end := i + 1
			for end < len(line) && line[end] >= 'A' && line[end] <= 'Z' {
				end++
			}
			value, known := vars[line[i+1:end]]
			if !known {
				t.Fatalf("%s: no variable %q", line, line[i+1:end])
			}
			word.WriteString(value)
			i, in = end-1, true
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		t.Fatalf("%s: a quote is not closed", line)
	}
	return append(words, word.String())
}

// curlLine is a request of testdata/rest.curl.
type curlLine struct {
	name, line string
	status     int
}

func curlLines(t testing.TB) (all []curlLine) {
	t.Helper()
	text, err := os.ReadFile("testdata/rest.curl")
	if err != nil {
		t.Fatal(err)
	}
	var next curlLine
	for line := range strings.SplitSeq(string(text), "\n") {
		if title, is := strings.CutPrefix(line, "## "); is {
			at := strings.LastIndex(title, ": ")
			if _, err := fmt.Sscan(title[at+1:], &next.status); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			next.name = title[:at]
		}
		if strings.HasPrefix(line, "curl ") {
			next.line = line
			all = append(all, next)
		}
	}
	return all
}

const mixer = `{"properties": {"temp": {"type": "NUMBER", "push": "ALWAYS"}, "mode": {"type": "STRING", "writable": true},
	"note": {"type": "STRING", "writable": true}, "setpoint": {"type": "NUMBER", "writable": true}},
 "services": {
	"Mix": {"inputs": {"count": "INTEGER", "ratio": "NUMBER", "hot": {"type": "BOOLEAN", "required": true}}, "output": "STRING"},
	"Nothing": {}, "Fail": {}, "Busy": {}, "Silent": {"timeout": "1s"},
	"EchoTime": {"inputs": {"v": "DATETIME"}, "output": "DATETIME"}, "EchoPlace": {"inputs": {"v": "LOCATION"}, "output": "LOCATION"},
	"EchoJSON": {"inputs": {"v": "JSON"}, "output": "JSON"},
	"EchoTable": {"inputs": {"v": {"type": "INFOTABLE", "fields": {"id": "INTEGER", "name": "STRING"}}}, "output": {"type": "INFOTABLE", "fields": {"id": "INTEGER", "name": "STRING"}}}},
 "events": {"Alarm": {"fields": {"code": "INTEGER"}}}}`

// newMixer is a device that answers calls of every kind.
func newMixer(t *testing.T, b *broker, s *platform) *device {
	t.Helper()
	d := newDevice(t, b, "mixer-1")
	fixed := map[string]string{
		"Mix": `{"result": "mixed"}`, "Nothing": `{}`, "Fail": `{"error": "the valve is stuck"}`,
		"Busy": `{"error": {"code": 503, "message": "busy closing"}}`, "Silent": "",
	}
	for service, reply := range fixed {
		d.serve("mixer-1", service, func(string) string { return reply })
	}
	for _, service := range []string{"EchoTime", "EchoPlace", "EchoJSON", "EchoTable"} {
		d.serve("mixer-1", service, func(in string) string {
			return strings.Replace(strings.TrimSpace(in), `{"v":`, `{"result":`, 1)
		})
	}
	d.announce("mixer-1", mixer)
	s.waitThing("mixer-1", true)
	d.publish("things/mixer-1/properties/temp", "21.5")
	s.waitProperty("mixer-1", "temp", "21.5")
	return d
}

// newREST runs a bridge with a REST listener; tail is the rest of that section.
func newREST(t *testing.T, b *broker, s *platform, tail string) (*bridge, *side) {
	t.Helper()
	address := freeAddress(t)
	br := newBridge(t, b, s.webSocket(s.address), fmt.Sprintf("rest:\n  listen: %s\n  token: %s\n%s", address, restToken, tail))
	br.waitReady()
	return br, newSide(t, "bridge", address, restToken)
}

func TestREST(t *testing.T) {
	b := newBroker(t)
	for name, scenario := range map[string]func(t *testing.T, b *broker, s *platform){
		"it gives the same answers as the platform":          sameAnswers,
		"what only the bridge answers":                       bridgesOwn,
		"rules, token and address are changed while it runs": reconfigured,
		"200 callers at once, and values flow all the same":  manyCallers,
	} {
		t.Run(name, func(t *testing.T) { scenario(t, b, newPlatform(t)) })
	}
}

// sameAnswers asks the platform itself and the bridge the same.
func sameAnswers(t *testing.T, b *broker, s *platform) {
	_, through := newREST(t, b, s, `  allow: ["*"]`)
	newMixer(t, b, s)
	direct := newSide(t, "platform", s.address, appKey)
	lines := curlLines(t)
	if len(lines) < 40 {
		t.Fatalf("only %d requests", len(lines))
	}
	var slower time.Duration
	for _, c := range lines {
		t.Run(c.name, func(t *testing.T) {
			want, got := direct.curl(c.line), through.curl(c.line)
			if want.code != c.status {
				t.Errorf("the platform gives %d %.300s; want %d", want.code, want.body, c.status)
			}
			if got.code != want.code || got.body != want.body {
				t.Errorf("the platform gives  %d %.400s\nand through the bridge %d %.400s", want.code, want.body, got.code, got.body)
			}
			slower += got.took - want.took
		})
	}
	t.Logf("%d requests; through the bridge each takes %v longer", len(lines), (slower / time.Duration(len(lines))).Round(10*time.Microsecond))
}

func bridgesOwn(t *testing.T, b *broker, s *platform) {
	t.Setenv("THINGBRIDGE_PLATFORM_REQUEST_TIMEOUT", "2s")
	br, rest := newREST(t, b, s, `  allow: ["GET Things/mixer-*/Properties/temp", "Things/mixer-1/Services/Mix"]`)
	newMixer(t, b, s)
	const read, mix = `curl -s -H "appKey: $KEY" "$URL/Things/mixer-1/Properties/temp"`, `curl -s -X POST -H "appKey: $KEY" -H 'Content-Type: application/json' -d '{"hot": true}' "$URL/Things/mixer-1/Services/Mix"`
	rest.curl(read).want(t, 200, "21.5")
	rest.curl(`curl -s -H "Authorization: Bearer $KEY" "$URL/Things/mixer-1/Properties/temp"`).want(t, 200, "21.5")
	rest.curl(`curl -s "$URL/Things/mixer-1/Properties/temp"`).want(t, 401, "rest.token")
	rest.curl(`curl -s -H "appKey: `+appKey+`" "$URL/Things/mixer-1/Properties/temp"`).want(t, 401, "an application key is not taken here")
	rest.curl(`curl -s -H "appKey: $KEY" "$URL/Things/mixer-1/Properties"`).want(t, 403, "GET Things/mixer-1/Properties is not among rest.allow")
	rest.curl(`curl -s -X PUT -H "appKey: $KEY" -H 'Content-Type: application/json' -d '{"temp": 1}' "$URL/Things/mixer-1/Properties/temp"`).want(t, 403, "PUT Things/mixer-1/Properties/temp")
	rest.curl(`curl -s -X POST -H "appKey: $KEY" -d '{}' -H 'Content-Type: application/json' "$URL/Resources/EntityServices/Services/CreateThing"`).want(t, 403, "POST Resources/EntityServices/Services/CreateThing")

	s.fault(`{"kind": "stall", "thing": "mixer-1"}`)
	a := rest.curl(read)
	a.want(t, 504, "no answer from the platform in time", "it may have acted")
	if a.took < 1900*time.Millisecond || a.took > 10*time.Second {
		t.Errorf("it ended after %v; its time is 2 s", a.took)
	}
	s.do(http.MethodDelete, "/simulator/faults", nil)
	eventually(t, "reading works again", func() string { return rest.curl(read).not(200) })

	s.p.kill()
	eventually(t, "without a platform it is 503", func() string { return rest.curl(mix).not(503) })
	rest.curl(mix).want(t, 503, "there is no connection to the platform; nothing was sent")
	s.start()
	br.waitReady()
	s.waitThing("mixer-1", true)
	rest.curl(mix).want(t, 200, "mixed")
	br.p.stop(t)
	if out := br.p.output(); strings.Contains(out, restToken) || strings.Contains(out, appKey) {
		t.Error("a secret is in the log")
	}
}

func reconfigured(t *testing.T, b *broker, s *platform) {
	br, rest := newREST(t, b, s, `  allow: ["Things/mixer-1/Services"]`)
	newMixer(t, b, s)
	const read = `curl -s -H "appKey: $KEY" "$URL/Things/mixer-1/Properties/temp"`
	rest.curl(read).want(t, 403, "rest.allow")
	edit := func(old, with string) {
		t.Helper()
		text, err := os.ReadFile(br.config)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), old, with, 1)
		if changed == string(text) {
			t.Fatalf("%q is not in the file", old)
		}
		temporary := filepath.Join(filepath.Dir(br.config), "new")
		if err := os.WriteFile(temporary, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, br.config); err != nil {
			t.Fatal(err)
		}
	}
	edit(`["Things/mixer-1/Services"]`, `["Things/mixer-1"]`)
	eventually(t, "the new rule counts", func() string { return rest.curl(read).not(200) })
	edit("token: "+restToken, "token: another")
	eventually(t, "the old token does not count", func() string { return rest.curl(read).not(401) })
	rest.vars["KEY"] = "another"
	rest.curl(read).want(t, 200, "21.5")
	moved := freeAddress(t)
	old := strings.TrimSuffix(strings.TrimPrefix(rest.vars["URL"], "http://"), "/Thingworx")
	edit("listen: "+old, "listen: "+moved)
	there := newSide(t, "bridge", moved, "another")
	eventually(t, "it listens elsewhere", func() string { return there.curl(read).not(200) })
	eventually(t, "the old address is free", func() string {
		if listens(old) {
			return "it is not"
		}
		return ""
	})
}

func manyCallers(t *testing.T, b *broker, s *platform) {
	const callers, each = 200, 10
	_, rest := newREST(t, b, s, `  allow: ["Things"]`)
	d := newMixer(t, b, s)
	const read = `curl -s -H "appKey: $KEY" "$URL/Things/mixer-1/Properties/temp"`
	var wait sync.WaitGroup
	began := time.Now()
	for range callers {
		wait.Go(func() {
			for range each {
				if a := rest.curl(read); a.code != 200 {
					t.Errorf("%d %s", a.code, a.body)
				}
			}
		})
	}
	d.publish("things/mixer-1/properties/temp", "22.5")
	s.waitProperty("mixer-1", "temp", "22.5")
	flowed := time.Since(began)
	wait.Wait()
	took := time.Since(began)
	t.Logf("%d reads of %d callers in %v, %.0f a second; a value took %v meanwhile", callers*each, callers, took.Round(time.Millisecond), callers*each/took.Seconds(), flowed.Round(time.Millisecond))
}
