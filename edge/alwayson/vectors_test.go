package alwayson

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

// vector is one entry of testdata/vectors.json.gz: bytes that PTC's client
// emits, with their meaning.
type vector struct {
	Name      string
	Kind      string
	Hex       string
	Chunks    []string
	Describes json.RawMessage
}

// described holds every member that a description of a value, table or message can have.
type described struct {
	// a primitive
	BaseType                       string
	Code                           int
	ByteLength                     int
	Value                          json.RawMessage
	Bits                           string
	ValueHex                       string
	EpochMillis                    int64
	InfoTable                      *describedTable
	Inner                          *described
	Longitude, Latitude, Elevation *struct{ Bits string }

	// a message
	RequestID, EndpointID, SessionID uint32
	Summary                          string
	Body                             *describedBody
}

type describedTable struct {
	Fields []struct {
		Name, Description string
		Code              int
		Aspects           map[string]described
	}
	Rows [][]described
}

type describedBody struct {
	Type                   string
	Claims                 map[string]string
	GatewayName            *string
	GatewayType            string
	Names                  []string
	EntityType             int
	EntityName             string
	CharacteristicType     int
	CharacteristicName     string
	HeaderCount            int
	Params, Content        *describedTable
	ReasonMarker           int
	ReasonSetByApplication string
}

// Vectors whose bytes are not what this package writes: PTC's client miscounts
// a length or sends a row short. They are decoded all the same.
var notCanonical = map[string]bool{
	"msg_response_error_404_reason_TRAILING":         true,
	"msg_post_service_params_nothing_cells_TRAILING": true,
	"it_short_row":                    true,
	"msg_response_8171_body_boundary": true,
}

// trailing is how many bytes stand behind the end of a vector's body.
var trailing = map[string]int{
	"msg_response_error_404_reason_TRAILING":         14,
	"msg_post_service_params_nothing_cells_TRAILING": 2,
}

func loadVectors(tb testing.TB) []vector {
	tb.Helper()
	f, err := os.Open("testdata/vectors.json.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	return vs
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestVectorsDecodeToTheirDescriptionAndEncodeBackToTheirBytes(t *testing.T) {
	vs := loadVectors(t)
	if len(vs) != 119 {
		t.Fatalf("%d vectors, want 119", len(vs))
	}
	for _, v := range vs {
		t.Run(v.Name, func(t *testing.T) {
			var d described
			if v.Kind != "infotable" {
				if err := json.Unmarshal(v.Describes, &d); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case len(v.Chunks) > 0:
				checkChunks(t, v, &d)
			case v.Kind == "primitive":
				checkPrimitive(t, v, &d)
			case v.Kind == "infotable":
				checkTableVector(t, v)
			case v.Kind == "message":
				b := unhex(t, v.Hex)
				m, rest, err := Parse(b, Limits{})
				if err != nil || rest != trailing[v.Name] {
					t.Fatalf("rest %d, err %v; want rest %d", rest, err, trailing[v.Name])
				}
				checkMessage(t, &m, v.Name, &d)
				checkEncodes(t, v.Name, b, func(dst []byte) ([]byte, error) { return Append(dst, &m) })
			default:
				t.Fatalf("unknown kind %q", v.Kind)
			}
		})
	}
}

func checkEncodes(t *testing.T, name string, want []byte, encode func([]byte) ([]byte, error)) {
	t.Helper()
	prefix := []byte("kept")
	got, err := encode(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, prefix) {
		t.Fatal("encoding changed what stood before it")
	}
	if equal := bytes.Equal(got[len(prefix):], want); equal == notCanonical[name] {
		t.Errorf("encoded equal %v, want %v\n got %x\nwant %x", equal, !equal, got[len(prefix):], want)
	}
}

func checkPrimitive(t *testing.T, v vector, d *described) {
	b := unhex(t, v.Hex)
	got, n, err := ParseValue(b, Limits{})
	if err != nil || n != len(b) {
		t.Fatalf("took %d of %d bytes, err %v", n, len(b), err)
	}
	checkValue(t, "value", got, d)
	checkEncodes(t, v.Name, b, func(dst []byte) ([]byte, error) { return AppendValue(dst, got) })
	if n := valueSize(got); n != len(b) {
		t.Errorf("size %d, want %d", n, len(b))
	}
}

func checkTableVector(t *testing.T, v vector) {
	var d describedTable
	if err := json.Unmarshal(v.Describes, &d); err != nil {
		t.Fatal(err)
	}
	b := unhex(t, v.Hex)
	got, n, err := ParseTable(b, Limits{})
	if err != nil || n != len(b) {
		t.Fatalf("took %d of %d bytes, err %v", n, len(b), err)
	}
	checkTable(t, "table", got, &d)
	checkEncodes(t, v.Name, b, func(dst []byte) ([]byte, error) { return AppendTable(dst, got) })
}

func checkValue(t *testing.T, path string, got Value, d *described) {
	t.Helper()
	if int(got.Type()) != d.Code || got.Type().String() != d.BaseType {
		t.Fatalf("%s: type %v (%d), want %s (%d)", path, got.Type(), got.Type(), d.BaseType, d.Code)
	}
	bits := func(f float64) string {
		return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
	}
	want := func(have, want any) {
		t.Helper()
		if have != want {
			t.Errorf("%s: %v, want %v", path, have, want)
		}
	}
	switch typ := got.Type(); {
	case typ.IsText():
		var s string
		if err := json.Unmarshal(d.Value, &s); err != nil {
			t.Fatal(err)
		}
		want(got.Text(), s)
		if d.ByteLength != 0 {
			want(len(got.Text()), d.ByteLength)
		}
	case typ == TypeNumber:
		want(bits(got.Number()), d.Bits)
	case typ == TypeBoolean:
		want(string(d.Value), map[bool]string{true: "true", false: "false"}[got.Bool()])
	case typ == TypeInteger:
		var i int64
		if err := json.Unmarshal(d.Value, &i); err != nil {
			t.Fatal(err)
		}
		want(got.Int(), i)
	case typ == TypeDateTime:
		want(got.Millis(), d.EpochMillis)
	case typ == TypeLocation:
		l := got.Location()
		want(bits(l.Longitude), d.Longitude.Bits)
		want(bits(l.Latitude), d.Latitude.Bits)
		want(bits(l.Elevation), d.Elevation.Bits)
	case typ == TypeBlob, typ == TypeImage:
		want(hex.EncodeToString(got.Bytes()), d.ValueHex)
	case typ == TypeVariant:
		checkValue(t, path+".inner", got.Inner(), d.Inner)
	case typ == TypeInfoTable:
		checkTable(t, path, got.Table(), d.InfoTable)
	case typ == TypeNothing:
	default:
		t.Fatalf("%s: no check for %v", path, typ)
	}
}

func checkTable(t *testing.T, path string, got *InfoTable, d *describedTable) {
	t.Helper()
	if d == nil {
		if got != nil {
			t.Fatalf("%s: a table, want none", path)
		}
		return
	}
	if got == nil || len(got.Fields) != len(d.Fields) || len(got.Rows) != len(d.Rows) {
		t.Fatalf("%s: %v, want %d fields and %d rows", path, NewTable(got), len(d.Fields), len(d.Rows))
	}
	for i, f := range got.Fields {
		w := d.Fields[i]
		if f.Name != w.Name || f.Description != w.Description || int(f.Type) != w.Code || len(f.Aspects) != len(w.Aspects) {
			t.Errorf("%s: field %+v, want %+v", path, f, w)
		}
		for _, a := range f.Aspects {
			aspect, ok := w.Aspects[a.Name]
			if !ok {
				t.Fatalf("%s: aspect %q of field %q not described", path, a.Name, f.Name)
			}
			checkValue(t, path+"."+f.Name+"@"+a.Name, a.Value, &aspect)
		}
	}
	for i, row := range got.Rows {
		if len(row) != len(d.Rows[i]) {
			t.Fatalf("%s: row %d has %d cells, want %d", path, i, len(row), len(d.Rows[i]))
		}
		for j := range row {
			checkValue(t, path+".cell", row[j], &d.Rows[i][j])
		}
	}
}

// summarised are the messages that are described in a sentence only.
var summarised = map[string]Body{
	"msg_post_PushProperties_2props": PushRequest("Thing1", []PropertyValue{
		{"Temp", NewNumber(1.25), 1577836800123, QualityGood},
		{"Flag", NewBoolean(true), 1577836800124, QualityGood},
	}),
	"msg_handler_response_property_write":       OK(Value{}),
	"msg_handler_response_service":              OK(NewTable(NewResult(NewString("echo")))),
	"msg_handler_response_unknown_service_404":  &Response{Code: NotFound},
	"msg_handler_response_NotifyPropertyUpdate": OK(Value{}),
}

func checkMessage(t *testing.T, m *Message, name string, d *described) {
	t.Helper()
	want := Header{Code: Code(d.Code), RequestID: d.RequestID, EndpointID: d.EndpointID, SessionID: d.SessionID}
	if m.Header != want {
		t.Errorf("header %+v, want %+v", m.Header, want)
	}
	switch {
	case name == "msg_handler_response_GetMetadata":
		checkThingMetadata(t, m.Body.(*Response))
	case d.Body == nil:
		w, ok := summarised[name]
		if !ok {
			t.Fatal("nothing to compare the body with")
		}
		if !sameBody(m.Body, w) {
			t.Errorf("body %+v, want %+v", m.Body, w)
		}
	default:
		checkBody(t, m, d.Body)
	}
}

func checkBody(t *testing.T, m *Message, d *describedBody) {
	t.Helper()
	switch b := m.Body.(type) {
	case *Auth:
		claims := make(map[string]string)
		for _, c := range b.Claims {
			claims[c.Name] = c.Value
		}
		if b.Cut || !maps.Equal(claims, d.Claims) {
			t.Errorf("claims %q, want %q", claims, d.Claims)
		}
	case *Bind:
		if !slices.Equal(b.Names, d.Names) {
			t.Errorf("names %q, want %q", b.Names, d.Names)
		}
		if (b.Gateway != nil) != (d.GatewayName != nil) || b.Gateway != nil && *b.Gateway != (Gateway{*d.GatewayName, d.GatewayType}) {
			t.Errorf("gateway %v, want %v of type %v", b.Gateway, d.GatewayName, d.GatewayType)
		}
	case *Request:
		if int(b.EntityType) != d.EntityType || b.Entity != d.EntityName || int(b.Characteristic) != d.CharacteristicType ||
			b.Name != d.CharacteristicName || len(b.Headers) != d.HeaderCount {
			t.Errorf("request %+v, want %+v", b, d)
		}
		checkTable(t, "params", b.Params, d.Params)
	case *Response:
		if b.Code != m.Code || b.HasReason != (d.ReasonMarker != 0) || b.HasReason && b.Reason != d.ReasonSetByApplication {
			t.Errorf("response %+v, want %+v", b, d)
		}
		checkTable(t, "content", b.Content.Table(), d.Content)
	default:
		t.Fatalf("body %T", b)
	}
}

// sameBody compares two bodies of the same kind by meaning.
func sameBody(a, b Body) bool {
	switch a := a.(type) {
	case *Auth:
		b, ok := b.(*Auth)
		return ok && slices.Equal(a.Claims, b.Claims)
	case *Bind:
		b, ok := b.(*Bind)
		return ok && (a.Gateway == nil) == (b.Gateway == nil) && (a.Gateway == nil || *a.Gateway == *b.Gateway) && slices.Equal(a.Names, b.Names)
	case *Request:
		b, ok := b.(*Request)
		return ok && a.EntityType == b.EntityType && a.Entity == b.Entity && a.Characteristic == b.Characteristic && a.Name == b.Name && a.Params.Equal(b.Params)
	case *Response:
		b, ok := b.(*Response)
		return ok && a.Code == b.Code && a.Reason == b.Reason && a.HasReason == b.HasReason && a.Content.Equal(b.Content)
	}
	return a == b
}

func checkThingMetadata(t *testing.T, r *Response) {
	t.Helper()
	text := Result(r.Content, "result")
	if text.Type() != TypeJSON {
		t.Fatalf("result %v, want JSON", text)
	}
	m, err := ParseMetadata([]byte(text.Text()))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "Thing1" || len(m.Properties) != 2 || m.Properties[1].Name != "Temp" || m.Properties[1].Type != TypeNumber ||
		m.Properties[1].Push != PushAlways || len(m.Services) != 4 || m.Services[1].Name != "Echo" ||
		m.Services[1].Inputs[0].Name != "in" || m.Services[1].Output.Type != TypeString || m.Services[3].Output.Type != TypeNothing ||
		len(m.Events) != 1 || m.Events[0].Fields[0].Name != "message" {
		t.Errorf("metadata %+v", m)
	}
}

// checkChunks reassembles a multipart vector and cuts the message again.
func checkChunks(t *testing.T, v vector, d *described) {
	r := NewReassembler(ReassemblerOptions{})
	var whole Assembled
	for i, c := range v.Chunks {
		got, err := r.Add(epoch, unhex(t, c))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case notCanonical[v.Name] && i == 1:
			b, _, err := ParseBody(got.Header, got.Body, Limits{})
			if b != nil || err != nil {
				t.Errorf("bare header: body %v, err %v; want none", b, err)
			}
		case got.Done:
			whole = got
		}
	}
	if !whole.Done {
		t.Fatal("not complete after its last chunk")
	}
	body, rest, err := ParseBody(whole.Header, whole.Body, Limits{})
	if err != nil || rest != 0 {
		t.Fatalf("rest %d, err %v", rest, err)
	}
	m := Message{Header: whole.Header, Body: body}
	checkMessage(t, &m, v.Name, d)
	b, err := Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := Chunks(nil, b, 8192)
	if err != nil {
		t.Fatal(err)
	}
	if notCanonical[v.Name] {
		if len(chunks) != 1 || hex.EncodeToString(chunks[0]) != v.Chunks[0] {
			t.Errorf("%d chunks, want the whole message", len(chunks))
		}
		return
	}
	if len(chunks) != len(v.Chunks) {
		t.Fatalf("%d chunks, want %d", len(chunks), len(v.Chunks))
	}
	for i, c := range chunks {
		if hex.EncodeToString(c) != v.Chunks[i] {
			t.Errorf("chunk %d differs", i+1)
		}
	}
}
