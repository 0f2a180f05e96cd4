package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"thingbridge/bridge/console"
	"thingbridge/config"
)

const (
	// askLimit is how long an answer may take; a call of a device has 30 s.
	askLimit = 45 * time.Second
	// answerLimit bounds what is read of an answer, in bytes.
	answerLimit = 256 << 20
)

// asker asks the console of a running bridge.
type asker struct {
	base     string // the console's address, without a final slash
	from     string // where the address comes from, for messages
	token    string
	username string
	password string
	client   *http.Client
}

// answerError is an answer that is none: its HTTP status and the console's reason.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// askFlags adds the flags of the commands that ask a running bridge.
func askFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("config", "", "configuration file whose console is asked (default ./"+strings.Join(places, ", then ")+")")
	f.String("console", "", "URL of the console (default: as the configuration says, else http://"+console.DefaultListen+")")
	f.String("token", "", "the console's token: ${file:PATH}, ${env:NAME} or the text itself (default: as the configuration says)")
	f.Bool("json", false, "print the console's answer, for programs")
}

// newAsker finds the console. What the configuration has for logging in goes
// only to the console that the configuration names.
func newAsker(cmd *cobra.Command) (*asker, error) {
	a := &asker{client: &http.Client{
		Timeout:       askLimit,
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	named, err := cmd.Flags().GetString("console")
	if err != nil {
		return nil, err
	}
	if named != "" {
		a.base, a.from = named, "--console"
	} else if err := a.fromConfig(cmd); err != nil {
		return nil, err
	}
	if a.base, err = baseURL(a.base); err != nil {
		return nil, fmt.Errorf("%s: %w", a.from, err)
	}
	token, err := cmd.Flags().GetString("token")
	if err != nil || token == "" {
		return a, err
	}
	secret, err := config.NewSecret(token)
	if err == nil {
		a.token, err = secret.Resolve()
	}
	if err != nil {
		return nil, fmt.Errorf("--token: %w", err)
	}
	a.username, a.password = "", ""
	return a, nil
}

func (a *asker) fromConfig(cmd *cobra.Command) error {
	file := configFile(cmd)
	c, problems := config.Draft(config.Options{File: file})
	if c == nil {
		tell(cmd.ErrOrStderr(), problems)
		return errors.New("the configuration does not say where the console is; name it with --console URL")
	}
	if c.Console.Listen == "" {
		return fmt.Errorf("%s has no console (console.listen is empty); name one with --console URL", file)
	}
	a.base, a.from = "http://"+dialable(c.Console.Listen), "console.listen of "+file
	if file == "" {
		a.from = "the default"
	}
	for _, s := range []struct {
		key    string
		secret config.Secret
		into   *string
	}{{"console.token", c.Console.Token, &a.token}, {"console.password", c.Console.Password, &a.password}} {
		if !s.secret.IsSet() || cmd.Flags().Changed("token") {
			continue
		}
		var err error
		if *s.into, err = s.secret.Resolve(); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
	}
	a.username = c.Console.Username
	return nil
}

// dialable gives the loopback address where a listener takes every address.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", errors.New("this is not the URL of a console; expected http://HOST:PORT, for example http://" + console.DefaultListen)
	}
	return strings.TrimSuffix(text, "/"), nil
}

// get asks for path and gives the body of the answer.
func (a *asker) get(ctx context.Context, path string) ([]byte, error) {
	return a.ask(ctx, http.MethodGet, path, nil)
}

// ask sends one request. The error says what to do where something can be done.
func (a *asker) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case a.token != "":
		req.Header.Set("Authorization", "Bearer "+a.token)
	case a.password != "":
		req.SetBasicAuth(a.username, a.password)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, a.unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	switch {
	case err != nil:
		return nil, a.unreachable(err)
	case len(answer) > answerLimit:
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", a.base, answerLimit)
	case !json.Valid(answer):
		return nil, fmt.Errorf("what answers at %s (%s) is no thingbridge: %s without JSON", a.base, a.from, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return answer, a.refused(resp.StatusCode, answer)
	}
	return answer, nil
}

func (a *asker) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing answers at %s (%s): is the bridge running? Another address is given with --console URL", a.base, a.from)
	}
	return fmt.Errorf("no answer from %s (%s): %w", a.base, a.from, err)
}

func (a *asker) refused(status int, body []byte) error {
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		said.Error = http.StatusText(status)
	}
	if status == http.StatusUnauthorized {
		if a.token == "" && a.password == "" {
			said.Error += "; give the token with --token, or name the bridge's configuration with --config"
		} else {
			said.Error = "the console refuses the token or password (" + said.Error + ")"
		}
	}
	return &answerError{status, printable(said.Error)}
}

// into asks for path, and prints the answer where JSON is wanted; then done is
// true. Else it is decoded into v.
func (a *asker) into(cmd *cobra.Command, path string, v any) (done bool, err error) {
	body, err := a.get(cmd.Context(), path)
	if err != nil {
		return false, err
	}
	if wantsJSON(cmd) {
		return true, printJSON(cmd.OutOrStdout(), body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("the bridge at %s answers in another form than this version knows (try --json): %w", a.base, err)
	}
	return false, nil
}

func wantsJSON(cmd *cobra.Command) bool {
	wanted, err := cmd.Flags().GetBool("json")
	return err == nil && wanted
}

func printJSON(w io.Writer, body []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(body), "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := w.Write(out.Bytes())
	return err
}
