// Command thingbridge joins MQTT devices with a ThingWorx platform.
//
// It reads flags and a configuration file and wires the packages; what keeps
// order and what may be lost is theirs to say. "thingbridge run" blocks until
// SIGTERM or SIGINT, then stops in order within 30 s: no message is taken any
// more, what is in flight is finished or kept, Things are unbound, files are
// closed. A second signal ends it at once.
//
// Exit status: 0 fine, 1 problems or failure, 2 called wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set when the program is linked.
var version = "unknown"

// Exit statuses.
const (
	exitFine    = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once the first signal has come, the next one finds its default: the end.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command and gives the exit status.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	called, err := root.ExecuteContextC(ctx)
	var failed *failure
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &failed):
		if failed.err != nil {
			fmt.Fprintln(errOut, "thingbridge:", failed.err)
		}
		return exitFailure
	default:
		fmt.Fprintln(errOut, "thingbridge:", err)
		fmt.Fprintf(errOut, "%s --help says how it is called\n", called.CommandPath())
		return exitUsage
	}
}
