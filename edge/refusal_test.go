package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
)

func TestARefusedThingIsToldWhatIsSaidOfIt(t *testing.T) {
	for name, tt := range map[string]struct {
		text, names string
		want        []string // nil: the text, for each
	}{
		"one name has all of the text":          {"\"a\" is bound\nask your administrator", "a", nil},
		"one sentence is everyone's":            {"thing [a] is not visible", "a b", nil},
		"nobody is named":                       {"no permission; ask your administrator", "a b", nil},
		"nothing is said":                       {"", "a b", nil},
		"each has its own line":                 {"\"a\" is bound\n\"b\" is empty", "a b", []string{`"a" is bound`, `"b" is empty`}},
		"or what stands between semicolons":     {"[a] is bound; [b] is empty; a: twice", "a b", []string{"[a] is bound; a: twice", "[b] is empty"}},
		"a longer name is another":              {"p-1 is bound; p-10 is empty; x.p-1; p-1.x; Ap-1", "p-1 p-10", []string{"p-1 is bound", "p-10 is empty"}},
		"a sentence ends behind a name":         {"no Thing p-1.\nno Thing p-10.", "p-1 p-10", []string{"no Thing p-1.", "no Thing p-10."}},
		"an identifier is named without its *":  {"\"SN-1\" is bound\n\"b\" is empty", "*SN-1 b", []string{`"SN-1" is bound`, `"b" is empty`}},
		"who is not named was refused together": {"\"a\" is bound\n\"b\" is bound; and 3 more", "a b c", []string{`"a" is bound`, `"b" is bound`, `one BIND with 2 others: "a" is bound`}},
	} {
		t.Run(name, func(t *testing.T) {
			var batch []*thing
			for n := range strings.FieldsSeq(tt.names) {
				batch = append(batch, &thing{name: n})
			}
			if got := reasonsOf(tt.text, batch); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestThingsRefusedInOneBindShowTheirOwnReasons(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.bind = func(_ *peerConn, b *alwayson.Bind) *alwayson.Response {
			var lines []string
			for _, name := range b.Names {
				lines = append(lines, fmt.Sprintf("%q is bound by another connection", name))
			}
			return alwayson.Fail(alwayson.Forbidden, strings.Join(lines, "\n"))
		}
		c := p.start(&recorder{}, nil)
		c.Want(manyNames(100)...)
		pass(5 * time.Minute)
		for _, name := range manyNames(100) {
			want := fmt.Sprintf("%v: %q is bound by another connection", alwayson.Forbidden, name)
			if st, reason := c.BindState(name); st != alwayson.Refused || reason != want {
				t.Fatalf("%s is %v: %s", name, st, reason)
			}
		}
	})
}

// A refusal of a megabyte for each of many Things would be remembered for each.
func TestOfALongRefusalLittleIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, p *peer) {
		p.bind = func(_ *peerConn, b *alwayson.Bind) *alwayson.Response {
			return alwayson.Fail(alwayson.Forbidden, strings.Join(b.Names, " ")+strings.Repeat("x", 500_000)+"\nbut one")
		}
		c := p.start(&recorder{}, nil)
		c.Want(manyNames(100)...)
		pass(time.Second)
		for _, name := range manyNames(100) {
			if st, reason := c.BindState(name); st != alwayson.Refused || len(reason) > 600 || !strings.HasPrefix(reason, alwayson.Forbidden.String()+": ") {
				t.Fatalf("%s is %v: %d bytes", name, st, len(reason))
			}
		}
	})
}
