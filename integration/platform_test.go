package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const appKey = "an-application-key-for-tests"

// platform is the binary's simulated platform in a process of its own.
type platform struct {
	t       testing.TB
	address string
	args    []string
	p       *process
	http    *http.Client
}

func newPlatform(t testing.TB, args ...string) *platform {
	t.Helper()
	s := &platform{t: t, address: freeAddress(t), args: args, http: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{}}}
	t.Cleanup(s.http.CloseIdleConnections)
	s.start()
	return s
}

func (s *platform) start() {
	s.t.Helper()
	s.p = start(s.t, "simulate platform", binary, append([]string{"simulate", "platform", "--listen", s.address, "--app-key", appKey}, s.args...)...)
	s.p.upOn(s.t, s.address)
}

func (s *platform) webSocket(address string) string { return "ws://" + address + "/Thingworx/WS" }

// answer is what REST gave.
type answer struct {
	code int
	body string
	took time.Duration
}

func (s *platform) do(method, path string, body any) answer {
	s.t.Helper()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://"+s.address+path, content)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("appKey", appKey)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{code: -1, body: err.Error(), took: time.Since(start)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{code: -1, body: err.Error(), took: time.Since(start)}
	}
	return answer{code: resp.StatusCode, body: string(b), took: time.Since(start)}
}

func (s *platform) call(thing, service string, inputs any) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/Thingworx/Things/"+url.PathEscape(thing)+"/Services/"+url.PathEscape(service), inputs)
}

// cell reads one cell of the first row of a result.
func (a answer) cell(t testing.TB, name string) any {
	t.Helper()
	var table struct{ Rows []map[string]any }
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.UseNumber()
	if err := dec.Decode(&table); err != nil || a.code != http.StatusOK || len(table.Rows) == 0 {
		t.Fatalf("%d %s: no result (%v)", a.code, a.body, err)
	}
	return table.Rows[0][name]
}

// want checks the class of an error and that its text holds words.
func (a answer) want(t testing.TB, code int, words ...string) {
	t.Helper()
	if a.code != code {
		t.Fatalf("%d %s; want %d", a.code, a.body, code)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Fatalf("%d %q; want it to say %q", a.code, a.body, w)
		}
	}
}

func (s *platform) read(into any, path string, query ...string) error {
	if len(query) == 2 {
		path += "?" + query[0] + "=" + url.QueryEscape(query[1])
	}
	a := s.do(http.MethodGet, path, nil)
	if a.code != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, a.code, a.body)
	}
	return json.Unmarshal([]byte(a.body), into)
}

// connected lists the Things that are bound, and those of them that the
// platform knows all about: it has read what they are and opened the gate for their values.
func (s *platform) connected() (bound, ready []string, err error) {
	var things []struct {
		Name         string
		Connected    bool
		Synchronised bool
	}
	if err := s.read(&things, "/simulator/things"); err != nil {
		return nil, nil, err
	}
	for _, th := range things {
		if th.Connected {
			bound = append(bound, th.Name)
		}
		if th.Connected && th.Synchronised {
			ready = append(ready, th.Name)
		}
	}
	slices.Sort(bound)
	slices.Sort(ready)
	return bound, ready, nil
}

// waitBound waits until exactly these Things are bound, and ready.
func (s *platform) waitBound(things ...string) time.Duration {
	s.t.Helper()
	slices.Sort(things)
	return eventually(s.t, "the Things are bound", func() string {
		bound, ready, err := s.connected()
		if err != nil {
			return err.Error()
		}
		if !slices.Equal(bound, things) || !slices.Equal(ready, things) {
			return fmt.Sprintf("bound are %.300q, of them ready %.300q; want %.300q", bound, ready, things)
		}
		return ""
	})
}

// waitThing waits until one Thing is bound and ready, or not bound.
func (s *platform) waitThing(thing string, want bool) time.Duration {
	s.t.Helper()
	return eventually(s.t, fmt.Sprintf("%s bound: %v", thing, want), func() string {
		bound, ready, err := s.connected()
		if err != nil {
			return err.Error()
		}
		if want && !slices.Contains(ready, thing) || !want && slices.Contains(bound, thing) {
			return fmt.Sprintf("bound are %.300q, ready %.300q", bound, ready)
		}
		return ""
	})
}

// pushed is one value that reached the platform.
type pushed struct {
	Push       uint64
	Connection uint64
	Received   time.Time
	Name       string
	Value      json.RawMessage
	Time       int64
	Quality    string
	Dropped    string
}

func (s *platform) pushes(thing string) ([]pushed, error) {
	var all []pushed
	err := s.read(&all, "/simulator/pushes", "thing", thing)
	return all, err
}

// property reads a property's value over REST.
func (s *platform) property(thing, name string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, "/Thingworx/Things/"+url.PathEscape(thing)+"/Properties/"+url.PathEscape(name), nil)
}

// waitProperty waits until a property has a value, in JSON.
func (s *platform) waitProperty(thing, name, want string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s.%s is %.60s", thing, name, want), func() string {
		var table struct{ Rows []map[string]json.RawMessage }
		a := s.property(thing, name)
		if a.code != http.StatusOK || json.Unmarshal([]byte(a.body), &table) != nil || len(table.Rows) == 0 {
			return fmt.Sprintf("%d %.200s", a.code, a.body)
		}
		if got := string(table.Rows[0][name]); got != want {
			return fmt.Sprintf("it is %.60s", got)
		}
		return ""
	})
}

// fault makes something go wrong at the platform.
func (s *platform) fault(body string) {
	s.t.Helper()
	if a := s.do(http.MethodPost, "/simulator/faults", json.RawMessage(body)); a.code != http.StatusOK {
		s.t.Fatalf("fault %s: %d %s", body, a.code, a.body)
	}
}

// not says what came instead of a code; "" when it came.
func (a answer) not(code int) string {
	if a.code == code {
		return ""
	}
	return fmt.Sprintf("%d %.200s", a.code, a.body)
}
