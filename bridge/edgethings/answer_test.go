package edgethings

import (
	"net/url"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// shown is a response as a test has it: its content in REST's form, or code and reason.
func shown(resp *alwayson.Response) string {
	if !resp.Code.IsSuccess() {
		return "! " + resp.Code.String() + " " + resp.Reason
	}
	if resp.Content.IsNothing() {
		return ""
	}
	all := string(restjson.AppendValue(nil, resp.Content))
	return all[strings.LastIndex(all, `"rows":`):]
}

const pumpTable = `{"dataShape":{"fieldDefinitions":{"temp":{"name":"temp","baseType":"NUMBER","aspects":[]},"time":{"name":"time","baseType":"DATETIME"}}},"rows":[{"temp":5,"time":1700000000000}]}`

func TestAnswersOfAgents(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct{ name, kind, body, want string }{
		{"a service without a result", "service", "", ""},
		{"a service whose result is null", "service", "null", ""},
		{"a bare number", "service", " 5.5\n", `"rows":[{"result":5.5}]}`},
		{"bare text that is no JSON", "service", "stuck\n", `"rows":[{"result":"stuck\n"}]}`},
		{"text in JSON", "service", `"a \"b\""`, `"rows":[{"result":"a \"b\""}]}`},
		{"an object that holds the result", "service", `{"result":true}`, `"rows":[{"result":true}]}`},
		{"an object of its own", "service", `{"a":1,"b":2}`, `"rows":[{"result":{"a":1,"b":2}}]}`},
		{"a place", "service", `{"latitude":1,"longitude":2}`, `"rows":[{"result":{"latitude":1,"longitude":2,"elevation":0}}]}`},
		{"a table with the result", "service", `{"rows":[{"result":7}],"dataShape":{"fieldDefinitions":{"result":{"name":"result","baseType":"INTEGER"}}}}`, `"rows":[{"result":7}]}`},
		{"a table that is the result", "service", `{"rows":[{"a":1},{"a":2}]}`, `"rows":[{"a":1},{"a":2}]}`},
		{"a table that is not what it says", "service", `{"rows":[{"a":"x"}],"dataShape":{"fieldDefinitions":{"a":{"name":"a","baseType":"INTEGER"}}}}`, "! BAD_GATEWAY (0xA2) the answer of the agent of pump cannot be used"},
		{"JSON nested too deep is text", "service", deep, `"rows":[{"result":"` + deep + `"}]}`},
		{"bytes", "service", "\xff\xfe", "! BAD_GATEWAY (0xA2) the answer of the agent of pump cannot be used: it is neither JSON nor text in UTF-8"},
		{"a property as a table with its time", "property", pumpTable, `"rows":[{"temp":5}]}`},
		{"a property by its name", "property", `{"temp":6}`, `"rows":[{"temp":6}]}`},
		{"a property with its time", "property", `{"value":"2023-11-14T22:13:20Z","baseType":"DATETIME","time":1}`, `"rows":[{"temp":1700000000000}]}`},
		{"a property by its name and with its time", "property", `{"temp":{"value":7,"quality":"GOOD"}}`, `"rows":[{"temp":7}]}`},
		{"a bare property", "property", `8`, `"rows":[{"temp":8}]}`},
		{"a property as bare text", "property", `warm`, `"rows":[{"temp":"warm"}]}`},
		{"a property that is an object", "property", `{"a":1,"b":2,"c":3}`, `"rows":[{"temp":{"a":1,"b":2,"c":3}}]}`},
		{"a property that is not in the table", "property", `{"rows":[{"a":1,"b":2}]}`, `! BAD_GATEWAY (0xA2) the answer of the agent of pump cannot be used: its table has no row with a field "temp"`},
		{"all properties as a table", "all", pumpTable, `"rows":[{"temp":5,"time":1700000000000}]}`},
		{"all properties with their times", "all", `{"temp":{"value":5,"baseType":"INTEGER","time":1},"on":true,"at":{"x":1}}`, `"rows":[{"at":{"x":1},"on":true,"temp":5}]}`},
		{"all properties as a list", "all", `[1]`, "! BAD_GATEWAY (0xA2) the answer of the agent of pump cannot be used: an object with the properties is expected"},
		{"definitions as an object", "metadata", `{"serviceDefinitions":{"Go":{}}}`, `"name":"pump"`},
		{"definitions in a table", "metadata", `{"rows":[{"result":"{\"serviceDefinitions\":{\"Go\":{}}}"}]}`, `"Go":{"name":"Go"`},
		{"no definitions", "metadata", ``, `"serviceDefinitions":{}`},
		{"definitions that are none", "metadata", `[1]`, "! BAD_GATEWAY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shown(readAnswer(c.kind, c.body)); !strings.HasPrefix(got, c.want) && !(c.kind == "metadata" && strings.Contains(got, c.want)) || c.want == "" && got != "" {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func readAnswer(kind, body string) *alwayson.Response {
	a := &answer{status: 200, body: []byte(body)}
	switch kind {
	case "service":
		return serviceResult("pump", a)
	case "property":
		return propertyValue("pump", "temp", a)
	case "all":
		return propertyRow("pump", a)
	}
	return metadata("pump", a, nil)
}

func TestErrorsOfAgents(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, body string
		code       alwayson.Code
		want       string
	}{
		{400, "", "bad input\n", alwayson.BadRequest, "bad input"},
		{401, "", "who are you", alwayson.BadGateway, "refuses the user and password"},
		{403, "", `"no"`, alwayson.Forbidden, "no"},
		{404, "text/html", "<html>", alwayson.NotFound, "the agent answered 404 Not Found"},
		{409, "", "busy", alwayson.BadRequest, "busy (409)"},
		{302, "", "", alwayson.BadGateway, "the agent answered 302 Found (302)"},
		{500, "", "\xff", alwayson.InternalServerError, "the agent answered 500"},
		{503, "", strings.Repeat("x", 600), alwayson.ServiceUnavailable, "xxx"},
		{599, "", "", alwayson.BadGateway, "(599)"},
	} {
		resp := agentError("pump", &answer{status: c.status, kind: c.kind, body: []byte(c.body)})
		if resp.Code != c.code || !strings.Contains(resp.Reason, c.want) || len(resp.Reason) > 520 {
			t.Errorf("%d %.20q became %s %q", c.status, c.body, resp.Code, resp.Reason)
		}
	}
}

// FuzzAnswers: whatever an agent says becomes an answer that can be sent.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{"", "null", "5", "text", `{"result":1}`, pumpTable, `{"temp":{"value":5,"baseType":"NUMBER","time":1}}`, `{"rows":[]}`,
		`{"rows":[[]]}`, `{"rows":[{"a":{"rows":[{"b":1}]}}]}`, `{"serviceDefinitions":{"Go":{"Inputs":[]}}}`, "\xff", `{"value":{"baseType":"INFOTABLE","value":{"rows":[]}}}`} {
		for _, kind := range []string{"service", "property", "all", "metadata"} {
			f.Add(kind, body)
		}
	}
	f.Fuzz(func(t *testing.T, kind, body string) {
		resp := readAnswer(kind, body)
		if !resp.Code.IsSuccess() && resp.Code != alwayson.BadGateway {
			t.Fatalf("code %s", resp.Code)
		}
		if !resp.Code.IsSuccess() && resp.Reason == "" {
			t.Fatal("no reason")
		}
	})
}

// FuzzRegistration: what is taken can be called at the host it names, and nowhere else.
func FuzzRegistration(f *testing.F) {
	for _, body := range []string{`{"name":"a","host":"127.0.0.1","port":"80","path":"/x"}`, `{"name":"*id","proto":"https","port":1}`,
		`{"name":"a","port":80,"path":"@evil"}`, `{"name":"a/../b","port":80,"host":"a:b@c"}`, `{"name":"a","port":1e9}`, `{"name":"a","port":80,"host":"127.0.0.1#"}`,
		`{"name":"a","port":80,"host":"::1%lo"}`, `{"name":"a","port":80,"host":"::1%25lo"}`, `{"name":"a","port":80,"host":"::1%]:1@b"}`, `{"name":"a","port":80,"host":"::ffff:127.0.0.1"}`} {
		f.Add(body)
	}
	h, err := newHosts(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	h.own = func() []string { return nil }
	f.Fuzz(func(t *testing.T, body string) {
		table, bad := restjson.Params([]byte(body), nil)
		if bad != nil {
			return
		}
		p := newParams(table)
		reg := p.registration()
		if p.bad != "" || reg.Port == 0 || h.refusal(reg.Host, reg.Port) != "" {
			return
		}
		at, err := url.Parse(reg.url("Services", "x"))
		if err != nil || at.Hostname() != reg.Host || at.User != nil || at.RawQuery != "" || at.Fragment != "" || !h.Host(at.Hostname()) {
			t.Fatalf("%+v leads to %s (%v)", reg, reg.url("Services", "x"), err)
		}
	})
}
