package restjson

import (
	"io"
	"net/http"

	"thingbridge/edge/alwayson"
)

// flushAt is how much JSON of a table is made before it is written.
const flushAt = 32 << 10

// Answer writes a response the way a platform does: a table as JSON, no result as
// 200 with an empty body, an error as its class with the reason as text. A
// table, and one in it, is written in pieces, so that one with long column names, whose JSON is
// many times as long as the message it came in, is never held as a whole.
func Answer(w http.ResponseWriter, resp *alwayson.Response) {
	if !resp.Code.IsSuccess() {
		http.Error(w, Reason(resp), resp.Code.HTTPStatus())
		return
	}
	content := resp.Content.Unwrap()
	if content.IsNothing() {
		w.WriteHeader(http.StatusOK)
		return
	}
	table := content.Table()
	if table == nil {
		table = alwayson.NewResult(content)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = WriteTable(w, table)
}

// Reason is the text of an error response; its code's name where it has none.
func Reason(resp *alwayson.Response) string {
	if resp.Reason != "" {
		return resp.Reason
	}
	if reason := alwayson.Result(resp.Content, "reason").Unwrap().Text(); reason != "" {
		return reason
	}
	return resp.Code.String()
}

// WriteTable writes an info table in REST's shape, in pieces. The error is w's.
func WriteTable(w io.Writer, t *alwayson.InfoTable) error {
	p := pieces{w: w}
	p.table(t)
	p.write()
	return p.err
}

// pieces gathers JSON and writes it when there is enough.
type pieces struct {
	w   io.Writer
	dst []byte
	err error
}

func (p *pieces) table(t *alwayson.InfoTable) {
	p.dst = appendShape(p.dst, t)
	for i, row := range t.Rows {
		if i > 0 {
			p.dst = append(p.dst, ',')
		}
		p.row(t, row)
		if p.err != nil {
			return
		}
	}
	p.dst = append(p.dst, "]}"...)
}

func (p *pieces) row(t *alwayson.InfoTable, row []alwayson.Value) {
	p.dst = append(p.dst, '{')
	for j := range t.Fields {
		if j > 0 {
			p.dst = append(p.dst, ',')
		}
		if inner := tableAt(row, j); inner != nil {
			p.dst = append(appendText(p.dst, t.Fields[j].Name), ':')
			p.table(inner)
		} else {
			p.dst = appendCell(p.dst, t, row, j)
		}
		if len(p.dst) >= flushAt {
			p.write()
		}
		if p.err != nil {
			return
		}
	}
	p.dst = append(p.dst, '}')
}

// tableAt is the table in a cell; nil for anything else.
func tableAt(row []alwayson.Value, j int) *alwayson.InfoTable {
	if j >= len(row) {
		return nil
	}
	return row[j].Unwrap().Table()
}

func (p *pieces) write() {
	if p.err == nil {
		_, p.err = p.w.Write(p.dst)
	}
	p.dst = p.dst[:0]
}
