package mqttbus

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The library logs through package variables. They are set once, before any
// client can exist, and lead to the logger of the bus that was made last. All is
// debug detail: what a user must know, this package says itself.
var (
	libraryLogger atomic.Pointer[slog.Logger]
	_             = redirectLibraryLogs()
)

func redirectLibraryLogs() bool {
	paho.CRITICAL = libraryLog("critical")
	paho.ERROR = libraryLog("error")
	paho.WARN = libraryLog("warning")
	return true
}

type libraryLog string

func (l libraryLog) Println(v ...any) { l.log(strings.TrimSpace(fmt.Sprintln(v...))) }

func (l libraryLog) Printf(format string, v ...any) {
	l.log(strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (l libraryLog) log(text string) {
	if log := libraryLogger.Load(); log != nil {
		log.Log(context.Background(), slog.LevelDebug, "MQTT library: "+text, "class", string(l))
	}
}

// noStore stands for the library's message store, which neither of our
// connections needs: the outbound queue is ours, and what was received and not
// acknowledged is the broker's to keep. The default one would hold every such
// payload a second time.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
