package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"thingbridge/bridge"
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
	q := bridge.Selection{Prefix: values.Get("prefix"), Text: values.Get("search"), State: values.Get("state"), Profile: values.Get("profile")}
	var err1, err2, err3, err4 error
	q.Offset, err1 = number("offset", values.Get("offset"), 0, 1<<31-1)
	q.Limit, err2 = number("limit", values.Get("limit"), defaultLimit, maxLimit)
	q.Order, q.Reverse, err3 = order(values.Get("sort"))
	if q.State != "" && !slices.Contains(bridge.States(), q.State) {
		err4 = fmt.Errorf("state: expected one of %v", bridge.States())
	}
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	found := c.opt.Source.Things(q)
	if found.Things == nil {
		found.Things = []bridge.ThingSummary{}
	}
	reply(w, http.StatusOK, map[string]any{"things": found.Things, "total": found.Total, "offset": q.Offset, "states": found.States})
}

// order reads what a list is sorted by; a - before it turns it round.
func order(s string) (o bridge.Order, reverse bool, err error) {
	name, reverse := strings.CutPrefix(s, "-")
	if name == "" {
		return bridge.ByName, reverse, nil
	}
	if o = bridge.Order(name); !slices.Contains(bridge.Orders(), o) {
		return "", false, fmt.Errorf("sort: expected one of %v, with a - before it for the other way round", bridge.Orders())
	}
	return o, reverse, nil
}

func number(name, s string, absent, most int) (int, error) {
	if s == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s: expected a number from 0 to %d", name, most)
	}
	return n, nil
}

func (c *Console) thing(w http.ResponseWriter, r *http.Request) {
	most, err := number("max_value", r.URL.Query().Get("max_value"), 0, 1<<30)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	thing, ok := c.opt.Source.Thing(r.PathValue("name"), most)
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("no Thing %q is known", r.PathValue("name")))
		return
	}
	reply(w, http.StatusOK, thing)
}

// maxCalls bounds a list of calls in flight.
const maxCalls = 1000

func (c *Console) callsInFlight(w http.ResponseWriter, r *http.Request) {
	calls := c.opt.Source.Calls()
	total := len(calls)
	if calls = calls[:min(total, maxCalls)]; calls == nil {
		calls = []bridge.CallInFlight{}
	}
	reply(w, http.StatusOK, map[string]any{"calls": calls, "total": total})
}

func (c *Console) settings(w http.ResponseWriter, r *http.Request) {
	s, err := c.opt.Source.Settings()
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, http.StatusOK, s)
}

func (c *Console) advice(w http.ResponseWriter, r *http.Request) {
	notices := c.opt.Source.Notices()
	if notices == nil {
		notices = []Notice{}
	}
	reply(w, http.StatusOK, map[string]any{"advice": advise(c.opt.Source.Facts()), "notices": notices})
}

func (c *Console) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, err := number("after", q.Get("after"), 0, math.MaxInt)
	window := q.Get("window")
	switch {
	case err != nil:
	case window == "" || window == "10m" || window == "24h":
		reply(w, http.StatusOK, c.opt.History.answer(window == "24h", time.UnixMilli(int64(after))))
		return
	default:
		err = errors.New("window: expected 10m or 24h")
	}
	fail(w, http.StatusBadRequest, err.Error())
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
