package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"thingbridge/config"
)

// places are where the configuration is looked for when nothing names it.
var places = []string{"thingbridge.yaml", "/etc/thingbridge/thingbridge.yaml"}

// configFlags adds --config and the flags that go above the file.
func configFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "configuration file (default ./"+strings.Join(places, ", then ")+")")
	config.AddFlags(cmd.Flags())
}

// configFile finds the configuration file; "" if there is none.
func configFile(cmd *cobra.Command) string {
	if named, err := cmd.Flags().GetString("config"); err == nil && named != "" {
		return named
	}
	if named := os.Getenv("THINGBRIDGE_CONFIG"); named != "" {
		return named
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return place
		}
	}
	return ""
}

// loadConfig reads the configuration and tells its problems. Without one it
// gives a failure.
func loadConfig(cmd *cobra.Command) (*config.Config, error) {
	file := configFile(cmd)
	c, problems := config.Load(config.Options{File: file, Flags: cmd.Flags(), Here: true})
	tell(cmd.ErrOrStderr(), problems)
	if c != nil {
		return c, nil
	}
	if file == "" {
		return nil, fmt.Errorf("there is no configuration file: neither ./%s; name one with --config", strings.Join(places, " nor "))
	}
	return nil, &failure{}
}

func tell(w io.Writer, problems []config.Problem) {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
}
