package main

import (
	"fmt"

	"thingbridge/bridge/permit"
	"thingbridge/bridge/rest"
	"thingbridge/config"
)

// rests is the REST listener, which may move to another address, go and come.
type rests struct {
	app     *app
	metrics *rest.Metrics
	movable[*rest.REST]
}

// prepare implements reloadable. The log-in is read afresh, whatever else is new.
func (s *rests) prepare(old, now *config.Config) (change, error) {
	if now.REST.Listen == "" {
		return change{apply: func() { s.replace(nil) }}, nil
	}
	if present := s.now(); present != nil && old.REST.Listen == now.REST.Listen {
		opt, err := restOptions(now, s.app)
		if err != nil {
			return change{}, err
		}
		made, err := present.Prepare(opt)
		if err != nil {
			return change{}, err
		}
		return change{apply: func() { present.Use(made) }}, nil
	}
	made, err := newREST(now, s.app)
	if err != nil {
		return change{}, err
	}
	return change{apply: func() { s.replace(made) }, drop: made.Close}, nil
}

func restOptions(c *config.Config, a *app) (rest.Options, error) {
	token, err := c.REST.Token.Resolve()
	if err != nil {
		return rest.Options{}, fmt.Errorf("rest.token: %w", err)
	}
	password, err := c.REST.Password.Resolve()
	if err != nil {
		return rest.Options{}, fmt.Errorf("rest.password: %w", err)
	}
	rules, err := permit.ParseRules(c.REST.Allow)
	if err != nil {
		return rest.Options{}, fmt.Errorf("rest.allow: %w", err)
	}
	opt := rest.Options{
		Listen:     c.REST.Listen,
		Token:      token,
		Username:   c.REST.Username,
		Password:   password,
		Allow:      rules,
		Platform:   a.client,
		Metrics:    a.rests.metrics,
		MaxMessage: int(c.Platform.MaxMessage),
		Timeout:    c.Platform.RequestTimeout,
		Logger:     a.log.With("part", "rest"),
	}
	if a.edges != nil {
		opt.Local = a.edges
	}
	if c.REST.TLS.IsSet() {
		opt.TLS = c.REST.TLS.Config
	}
	return opt, nil
}

// newREST makes the REST listener and takes its address, so that a port that is
// in use is found at the start.
func newREST(c *config.Config, a *app) (*rest.REST, error) {
	opt, err := restOptions(c, a)
	if err != nil {
		return nil, err
	}
	made, err := rest.New(opt)
	if err != nil {
		return nil, err
	}
	return made, listen(made.Listen, "rest.listen")
}
