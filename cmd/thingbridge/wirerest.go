package main

import (
	"fmt"

	"thingbridge/bridge/permit"
	"thingbridge/bridge/rest"
	"thingbridge/config"
)

// newREST makes the REST listener and takes its address, so that a port that is
// in use is found at the start.
func newREST(c *config.Config, a *app) (*rest.REST, error) {
	token, err := c.REST.Token.Resolve()
	if err != nil {
		return nil, fmt.Errorf("rest.token: %w", err)
	}
	password, err := c.REST.Password.Resolve()
	if err != nil {
		return nil, fmt.Errorf("rest.password: %w", err)
	}
	rules, err := permit.ParseRules(c.REST.Allow)
	if err != nil {
		return nil, fmt.Errorf("rest.allow: %w", err)
	}
	opt := rest.Options{
		Listen:     c.REST.Listen,
		Token:      token,
		Username:   c.REST.Username,
		Password:   password,
		Allow:      rules,
		Platform:   a.client,
		MaxMessage: int(c.Platform.MaxMessage),
		Timeout:    c.Platform.RequestTimeout,
		Registerer: a.registry,
		Logger:     a.log.With("part", "rest"),
	}
	if c.REST.TLS.IsSet() {
		opt.TLS = c.REST.TLS.Config
	}
	made, err := rest.New(opt)
	if err != nil {
		return nil, err
	}
	return made, listen(made.Listen, "rest.listen")
}
