package permit

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request makes one of "METHOD path [body]".
func request(t testing.TB, text string) (alwayson.Code, *alwayson.Request) {
	t.Helper()
	parts := strings.SplitN(text, " ", 3)
	target, bad := restjson.ParsePath("/Thingworx/" + parts[1])
	if bad != nil {
		t.Fatalf("%s: %s", text, bad.Text)
	}
	method, bad := target.Method(parts[0])
	if bad != nil {
		t.Fatalf("%s: %s", text, bad.Text)
	}
	req := target.Request(nil)
	if len(parts) == 3 {
		req.Params = restjson.Content([]byte(parts[2]))
	}
	return method, req
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, rules string // separated by commas
		yes, no     []string
	}{
		{"without rules nothing is let through", "", nil, []string{"GET Things/a/Properties/p", "POST Things/a/Services/s"}},
		{"a rule for one service", "Things/pump-1/Services/Reset", []string{"POST Things/pump-1/Services/Reset", "POST things/PUMP-1/services/Reset"},
			[]string{"POST Things/pump-1/Services/reset", "POST Things/pump-10/Services/Reset", "POST Resources/pump-1/Services/Reset", "GET Things/pump-1/Properties/Reset", "POST Things/pump-1/Events/Reset"}},
		{"patterns", "Things/pump-*/Services/Re?et", []string{"POST Things/pump-1/Services/Reset", "POST Things/Pump-/Services/Re%2Aet"}, []string{"POST Things/xpump-1/Services/Reset", "POST Things/pump-1/Services/Reseet"}},
		{"a star does not leave its part", "Things/*/Services/Get", []string{"POST Things/a%2FServices%2FGet/Services/Get"}, []string{"POST Things/a/Services/Set"}},
		{"what is left out means all", "Things/pump-1", []string{"GET Things/pump-1/Properties", "PUT Things/pump-1/Properties/p {\"p\":1}", "POST Things/pump-1/Events/e"}, []string{"GET Things/pump-2/Properties"}},
		{"all of a collection", "Resources", []string{"POST Resources/EntityServices/Services/CreateThing"}, []string{"GET Things/a/Properties"}},
		{"all", "*", []string{"GET Things/a/Properties", "POST Subsystems/x/Services/y", "GET Users/u/Properties/p"}, []string{"GET ApplicationKeys/k/Properties", "POST ApplicationKeys/k/Services/GetKeyID"}},
		{"application keys must be named", "*,ApplicationKeys/mine", []string{"GET ApplicationKeys/MINE/Properties"}, []string{"GET ApplicationKeys/other/Properties"}},
		{"a method", "GET Things/*/Properties/*", []string{"GET Things/a/Properties/p", "GET Things/a/Properties", "HEAD Things/a/Properties"}, []string{"PUT Things/a/Properties/p {\"p\":1}"}},
		{"one property is not all of them", "Things/a/Properties/p*", []string{"GET Things/a/Properties/p1"}, []string{"GET Things/a/Properties", "GET Things/a/Properties/%2A", "GET Things/a/Properties/q"}},
		{"a question mark is not all of them", "Things/a/Properties/?", []string{"GET Things/a/Properties/p"}, []string{"GET Things/a/Properties/%2A"}},
		{"a write is judged by what its body names", "Things/a/Properties/p", []string{`PUT Things/a/Properties/p {"p":1}`, `PUT Things/a/Properties/%2A {"p":1}`, `PUT Things/a/Properties {"p":1}`},
			[]string{`PUT Things/a/Properties/p {"p":1,"q":2}`, `PUT Things/a/Properties/%2A {"q":2}`, `PUT Things/a/Properties/q {"p":1}`, `PUT Things/a/Properties/p {"\u0071":2}`, `PUT Things/a/Properties/%2A {}`}},
		{"any one rule is enough", "Things/a/Services/x,Things/b", []string{"POST Things/a/Services/x", "GET Things/b/Properties"}, []string{"GET Things/a/Properties"}},
		{"a write of two properties needs no common rule", "Things/a/Properties/p,Things/a/Properties/q", []string{`PUT Things/a/Properties/%2A {"p":1,"q":2}`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var texts []string
			if c.rules != "" {
				texts = strings.Split(c.rules, ",")
			}
			rules, err := ParseRules(texts)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.yes {
				if method, req := request(t, text); !rules.Request(method, req) {
					t.Errorf("%s is not let through", text)
				}
			}
			for _, text := range c.no {
				if method, req := request(t, text); rules.Request(method, req) {
					t.Errorf("%s is let through", text)
				}
			}
		})
	}
}

func TestRulesThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "a part is empty",
		"Things/":                          "a part is empty",
		"Things//Services":                 "a part is empty",
		"Thing/a":                          `"Thing" is no collection`,
		"Things/a/Service/x":               `"Service" is none of`,
		"Things/a/Services/x/y":            "more than four parts",
		"DELETE Things/a":                  `"DELETE Things" is no collection`,
		"GET  Things/a":                    "space around it",
		"Things/ a":                        "space around it",
		"/Thingworx/Things/a/Services/Get": "leave /Thingworx/ out",
		"GET Things/a/Services/x":          "lets nothing through",
		"POST Things/a/Properties":         "lets nothing through",
	} {
		if _, err := ParseRules([]string{"Things", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestMatchIsLinear(t *testing.T) {
	if Match(strings.Repeat("*a", 5000)+"b", strings.Repeat("a", 20000)) {
		t.Error("it matches")
	}
}

// FuzzRule feeds rules: one that is accepted lets through what its own text
// names literally, and nothing longer unless it has a star.
func FuzzRule(f *testing.F) {
	for _, s := range []string{"Things/pump-*/Services/*", "GET Things/a/Properties/p", "*", "*/*/*/*", "*/*r", "Resources/EntityServices/Services/CreateThing"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		req := &alwayson.Request{EntityType: r.collection, Entity: r.entity, Characteristic: r.characteristic, Name: r.name}
		if req.EntityType == 0 {
			req.EntityType = alwayson.EntityThing
		}
		if req.Characteristic == 0 {
			req.Characteristic = alwayson.Services
			if r.method == alwayson.Get || r.method == alwayson.Put {
				req.Characteristic = alwayson.Properties
			}
		}
		method := r.method
		if method == 0 {
			method = alwayson.Post
			if req.Characteristic == alwayson.Properties {
				method = alwayson.Get
			}
		}
		if !(Rules{r}).Request(method, req) {
			t.Fatalf("%q does not let through %v %+v", text, method, req)
		}
		req.Entity += "\x00other"
		if !strings.Contains(r.entity, "*") && (Rules{r}).Request(method, req) {
			t.Fatalf("%q lets through %+v", text, req)
		}
	})
}
