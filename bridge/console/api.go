package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
)

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

// healthz says that the process lives.
func (c *Console) healthz(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "alive"})
}

// readyz says whether both connections stand, and if not, why.
func (c *Console) readyz(w http.ResponseWriter, r *http.Request) {
	links := c.opt.Source.Links()
	answer := struct {
		Ready bool   `json:"ready"`
		Links []Link `json:"links"`
	}{true, links}
	status := http.StatusOK
	for _, l := range links {
		if !l.Up {
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	reply(w, status, answer)
}

func (c *Console) status(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, c.opt.Source.Status())
}

// defaultLimit and maxLimit bound a list of Things.
const (
	defaultLimit = 1000
	maxLimit     = 10_000
)

func (c *Console) things(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	q := Query{Prefix: values.Get("prefix")}
	var err1, err2 error
	q.Offset, err1 = number(values.Get("offset"), 0, 1<<31-1)
	q.Limit, err2 = number(values.Get("limit"), defaultLimit, maxLimit)
	if err := errors.Join(err1, err2); err != nil {
		fail(w, http.StatusBadRequest, "offset or limit: "+err.Error())
		return
	}
	things, total := c.opt.Source.Things(q)
	if things == nil {
		things = []any{}
	}
	reply(w, http.StatusOK, map[string]any{"things": things, "total": total, "offset": q.Offset})
}

func number(s string, absent, most int) (int, error) {
	if s == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("expected a number from 0 to %d", most)
	}
	return n, nil
}

func (c *Console) thing(w http.ResponseWriter, r *http.Request) {
	thing, ok := c.opt.Source.Thing(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("no Thing %q is known", r.PathValue("name")))
		return
	}
	reply(w, http.StatusOK, thing)
}

func (c *Console) call(w http.ResponseWriter, r *http.Request) {
	if !c.opt.AllowCalls {
		fail(w, http.StatusForbidden, "calls are switched off; see the console's allow_calls")
		return
	}
	inputs, status, err := readInputs(r)
	if err != nil {
		fail(w, status, err.Error())
		return
	}
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	default:
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d calls wait already", cap(c.calls)))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.opt.CallTimeout)
	defer cancel()
	result, err := c.opt.Source.Call(ctx, r.PathValue("name"), r.PathValue("service"), inputs)
	if err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"result": result})
}

// readInputs takes a JSON object; an empty body is one without members.
func readInputs(r *http.Request) (inputs json.RawMessage, status int, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("the Content-Type must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", large.Limit)
		}
		return nil, http.StatusBadRequest, errors.New("the body could not be read")
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return json.RawMessage("{}"), 0, nil
	}
	if body[0] != '{' || !json.Valid(body) {
		return nil, http.StatusBadRequest, errors.New("the body is not a JSON object of inputs")
	}
	return body, 0, nil
}

func statusOf(err error) int {
	var coder StatusCoder
	switch {
	case errors.As(err, &coder):
		if s := coder.HTTPStatus(); s >= 400 && s <= 599 {
			return s
		}
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
