package simulator

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"thingbridge/edge/alwayson"
)

const thingsFile = `
dataShapes:
  Reading: {fields: {at: DATETIME, value: NUMBER}}
things:
  - name: press-1
    identifier: SN-1
    template: AcmePress
    properties:
      force: NUMBER
      limit: {type: INTEGER, remote: maxForce, push: ALWAYS, threshold: 1, cacheTime: 0, default: 5}
      note: {type: STRING, local: true}
    services:
      Stop: {inputs: {hard: {type: BOOLEAN, required: true}}, output: STRING, remote: halt}
    events:
      Jam: {fields: {code: INTEGER}, dataShape: Reading}
`

func TestThingsFile(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "things.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("things stand as the file says", func(t *testing.T) {
		p := start(t, Options{Strict: true, ThingsFile: write(thingsFile)})
		e := connect(t, p)
		e.mustBind("*SN-1")
		subs, _ := alwayson.SubscriptionsFromTable(e.must(alwayson.Post, alwayson.SubscriptionsRequest("*SN-1")).Table())
		if len(subs) != 2 || subs[1].EdgeName != "maxForce" || subs[1].Push != alwayson.PushAlways || subs[1].Threshold != 1 {
			t.Fatalf("%+v", subs)
		}
		calling(t, p, alwayson.Post, serviceOf("press-1", "Stop"))
		m, _ := e.expect("halt", nil)
		e.answer(m, result(alwayson.NewString("ok")))
		if info := p.lookup("press-1").info(); info.Template != "AcmePress" || len(info.Events) != 1 {
			t.Fatalf("%+v", info)
		}
	})
	t.Run("a JSON list is read too", func(t *testing.T) {
		p := start(t, Options{ThingsFile: write(`[{"name":"a","properties":{"x":"NUMBER"}}]`)})
		if p.lookup("a") == nil {
			t.Fatal("no thing")
		}
	})
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":           {"- name: a\n  nmae: b\n", `:2:3: thing: unknown key "nmae"`},
		"a system property":        {"- name: a\n  properties: {tags: STRING}\n", "property tags: each Thing has a property of that name already"},
		"a bad base type":          {"- name: a\n  properties:\n    x: NUMBR\n", `:3:8: property x: base type "NUMBR"`},
		"a wrong kind":             {"- name: a\n  properties: {x: {type: NUMBER, threshold: high}}\n", ":2:45: property x threshold: expected a number"},
		"a bad name":               {"- name: a/b\n", ":1:3: thing: entity name [a/b] holds one of"},
		"a key that stands twice":  {"- name: a\n  events: {}\n  events: {}\n", `:3:3: thing: key "events" stands twice`},
		"not a list":               {"things: 5\n", ":1:9: things: expected a list"},
		"a bad push type":          {"- name: a\n  properties: {x: {type: NUMBER, push: SOMETIMES}}\n", `push type "SOMETIMES"`},
		"two things of one name":   {"- name: a\n- name: A\n", "thing [A] already exists"},
		"a default that fits not":  {"- name: a\n  properties: {x: {type: NUMBER, default: much}}\n", `default "much" is no NUMBER`},
		"two things of identifier": {"- {name: a, identifier: i}\n- {name: b, identifier: I}\n", "in use by thing [a]"},
		"no YAML":                  {"- [", "did not find"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			if _, err := New(Options{ThingsFile: write(c.text)}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v\nwant %s", err, c.want)
			}
		})
	}
	t.Run("all problems are reported at once", func(t *testing.T) {
		_, err := New(Options{ThingsFile: write("- name: a\n  x: 1\n  y: 2\n")})
		if err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), `"y"`) {
			t.Fatal(err)
		}
	})
	t.Run("a missing file is named", func(t *testing.T) {
		if _, err := New(Options{ThingsFile: "/nonexistent/things.yaml"}); err == nil || !strings.Contains(err.Error(), "/nonexistent/things.yaml") {
			t.Fatal(err)
		}
	})
}

func TestBadOptionsAreAllNamed(t *testing.T) {
	_, err := New(Options{Sync: "maybe", BindRefusal: "half", IdleTimeout: -1, Chunk: 9, TLSCert: "x"})
	for _, name := range []string{"Sync", "BindRefusal", "IdleTimeout", "Chunk", "TLSCert"} {
		if err == nil || !strings.Contains(err.Error(), "option "+name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

const export = `<?xml version="1.0"?><Entities><ThingTemplates><ThingTemplate name="Steam" baseThingTemplate="RemoteThing">
<ThingShape><PropertyDefinitions><PropertyDefinition baseType="NUMBER" name="Pressure" aspect.defaultValue="1.5"/></PropertyDefinitions>
<ServiceDefinitions><ServiceDefinition name="Vent"><ResultType baseType="STRING" name="result"/><ParameterDefinitions><FieldDefinition baseType="INTEGER" name="n"/></ParameterDefinitions></ServiceDefinition></ServiceDefinitions></ThingShape></ThingTemplate></ThingTemplates>
<Things><Thing name="Steam-1" thingTemplate="Steam" enabled="true" description="d" identifier=""><ThingShape><PropertyDefinitions>
<PropertyDefinition baseType="INTEGER" name="MyInt" aspect.isLogged="true"/></PropertyDefinitions></ThingShape>
<RemotePropertyBindings><RemotePropertyBinding name="MyInt" sourceName="MyInt" pushType="VALUE" pushThreshold="50.0"/></RemotePropertyBindings>
</Thing></Things></Entities>`

func TestAnEntityExportIsImported(t *testing.T) {
	p := start(t, Options{})
	e := connect(t, p)
	if resp := e.bind("Steam-1"); !resp.Code.IsSuccess() {
		t.Fatal(resp.Code)
	}
	e.expect("NotifyPropertyUpdate", nil)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, _ := w.CreateFormFile("file", "Things_Steam.xml")
	_, _ = part.Write([]byte(export))
	_ = w.Close()
	if status, text := rest(t, p, "POST", "/Thingworx/Importer?purpose=import", form.String(), "Content-Type", w.FormDataContentType()); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	e.expect("NotifyPropertyUpdate", nil)
	subs, _ := alwayson.SubscriptionsFromTable(e.must(alwayson.Post, alwayson.SubscriptionsRequest("Steam-1")).Table())
	if len(subs) != 1 || subs[0].Threshold != 50 {
		t.Fatalf("%+v", subs)
	}
	if v := e.must(alwayson.Get, alwayson.PropertyRequest(alwayson.EntityThing, "Steam-1", "Pressure", nil)).Table().Cell(0, "Pressure"); v.Number() != 1.5 {
		t.Fatalf("%v", v)
	}
	if status, _ := rest(t, p, "POST", "/Thingworx/Importer", "{}"); status != 415 {
		t.Fatalf("no form: %d", status)
	}
}

func TestTLSAndCompression(t *testing.T) {
	dir := t.TempDir()
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(k)
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_ = os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	_ = os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
	pool := x509.NewCertPool()
	parsed, _ := x509.ParseCertificate(der)
	pool.AddCert(parsed)

	p := start(t, Options{TLSCert: cert, TLSKey: keyFile, Compression: true, Strict: true, Things: []ThingSpec{pump}})
	if !strings.HasPrefix(p.WSURL(), "wss://") || !strings.HasPrefix(p.URL(), "https://") {
		t.Fatal(p.WSURL(), p.URL())
	}
	d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool}, EnableCompression: true, WriteBufferSize: 1 << 20}
	e := dialWith(t, p.WSURL(), d, http.Header{"Appkey": {testKey}})
	e.auth(testKey)
	e.mustBind("pump-1")
	big := strings.Repeat("0123456789", 3000)
	answer := calling(t, p, alwayson.Post, serviceOf("pump-1", "Echo", text("in", big)))
	m, req := e.expect("Echo", nil)
	e.answer(m, result(req.Params.Cell(0, "in")))
	if resp := <-answer; alwayson.Result(resp.Content, "result").Text() != big {
		t.Fatalf("%v", resp.Code)
	}
}
