package edge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"thingbridge/edge/alwayson"
)

// Causes of a connection's end and of a failed attempt, beside those that
// package alwayson declares.
var (
	// ErrPeerDead says that nothing came within the pong time-out after a ping.
	ErrPeerDead = errors.New("platform does not answer pings")
	// ErrRunning says that Run was called a second time.
	ErrRunning = errors.New("client runs already or has ended")
	// errLeft is the cause of a connection that Run closed in order.
	errLeft = errors.New("connection closed by the bridge")
)

// AuthError says that the platform refused the application key, or that the key
// could not be read.
type AuthError struct {
	Code   alwayson.Code // 0: it was not asked
	Reason string
	Err    error // why the key could not be read
}

func (e *AuthError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("application key: %v", e.Err)
	case e.Reason == "":
		return fmt.Sprintf("authenticate: %v", e.Code)
	}
	return fmt.Sprintf("authenticate: %v: %s", e.Code, e.Reason)
}

func (e *AuthError) Unwrap() error { return e.Err }

// UpgradeError says that the platform, or something before it, refused the
// WebSocket upgrade.
type UpgradeError struct {
	Status int    // HTTP status
	Line   string // first line of the answer's body, shortened
}

func (e *UpgradeError) Error() string {
	text := fmt.Sprintf("websocket upgrade refused with HTTP status %d", e.Status)
	if e.Line != "" {
		text += ": " + e.Line
	}
	return text + e.advice()
}

// advice says what to look at where the status tells.
func (e *UpgradeError) advice() string {
	switch {
	case e.Status == http.StatusNotFound || e.Status >= 300 && e.Status < 400 || e.Status == http.StatusOK:
		return "; see to the path of the address, on a platform /Thingworx/WS"
	case e.Status == http.StatusBadRequest && strings.Contains(e.Line, "HTTPS"):
		return "; wss:// instead of ws://"
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return "; see to the application key, and to what stands before the platform"
	}
	return ""
}

// ProxyError says that the proxy did not open the way to the platform.
type ProxyError struct {
	Proxy  string // its host and port
	Status string // of its answer; empty when there was none
	Err    error
}

func (e *ProxyError) Error() string {
	if e.Status != "" {
		return fmt.Sprintf("proxy %s refused CONNECT: %s", e.Proxy, e.Status)
	}
	return fmt.Sprintf("proxy %s: %v", e.Proxy, e.Err)
}

func (e *ProxyError) Unwrap() error { return e.Err }
