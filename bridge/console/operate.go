package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Operator is what a Source may offer beside: to be operated while it runs. What
// it returns as any is written as JSON; its errors are answered as those of
// Source.Call.
type Operator interface {
	// Configuration tells when the configuration in force was loaded, how the last
	// reload ended and which keys wait for a restart.
	Configuration() any
	// Reload has the configuration read and taken into use, and tells how it ended.
	Reload(ctx context.Context) (outcome any, err error)
	// Log tells how the log is set.
	Log() any
	// SetLog changes the log as a JSON object asks for, and tells how it is set then.
	SetLog(wish json.RawMessage) (log any, err error)
}

// Prepare makes handlers that serve as o says, for Use. Where to listen, how many
// connections there may be and how long they may take stay as they were. Handlers
// are made anew, so what outlives a request belongs to the Source. An error says
// what is wrong with o.
func (c *Console) Prepare(o Options) (*Prepared, error) {
	made, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Prepared{made}, nil
}

// Prepared are handlers that may be put to Use.
type Prepared struct{ console *Console }

// Use has c serve with other handlers from now on. Requests under way end by
// those that they began with; traces end, and may be opened again.
func (c *Console) Use(p *Prepared) {
	before := c.present()
	c.newest.Store(p.console)
	before.close()
}

// present is the Console whose handlers serve.
func (c *Console) present() *Console {
	if made := c.newest.Load(); made != nil {
		return made
	}
	return c
}

// Close gives back the address of a Console that is not run.
func (c *Console) Close() { c.server.Close() }

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.present().handler.ServeHTTP(w, r)
}

// operating adds the routes by which the bridge is operated.
func (c *Console) operating(mux *http.ServeMux) {
	op, ok := c.opt.Source.(Operator)
	if !ok {
		return
	}
	mux.HandleFunc("/api/v1/reload", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			reply(w, http.StatusOK, op.Configuration())
		case http.MethodPost:
			operate(w, r, func(context.Context, json.RawMessage) (any, error) { return op.Reload(r.Context()) })
		default:
			notAllowed(w)
		}
	})
	mux.HandleFunc("/api/v1/log", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			reply(w, http.StatusOK, op.Log())
		case http.MethodPost:
			operate(w, r, func(_ context.Context, wish json.RawMessage) (any, error) { return op.SetLog(wish) })
		default:
			notAllowed(w)
		}
	})
}

func notAllowed(w http.ResponseWriter) {
	w.Header().Set("Allow", "GET, POST")
	fail(w, http.StatusMethodNotAllowed, "only GET and POST are served here")
}

// operate reads a JSON object, as calls do, and answers with what f makes of it.
func operate(w http.ResponseWriter, r *http.Request, f func(context.Context, json.RawMessage) (any, error)) {
	body, status, err := readInputs(r)
	if err != nil {
		fail(w, status, err.Error())
		return
	}
	answer, err := f(r.Context(), body)
	if err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	reply(w, http.StatusOK, answer)
}

// WishError says that a request asks for what cannot be; it is answered 400.
type WishError struct{ Err error }

func (e *WishError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *WishError) Unwrap() error { return e.Err }

// HTTPStatus implements StatusCoder.
func (e *WishError) HTTPStatus() int { return http.StatusBadRequest }

// Wish reads a JSON object into v, strictly.
func Wish(text json.RawMessage, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &WishError{fmt.Errorf("the body does not fit: %w", err)}
	}
	if dec.More() {
		return &WishError{errors.New("the body holds more than one object")}
	}
	return nil
}
