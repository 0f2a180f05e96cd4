package edgethings

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneNameThatIsRefusedForEverOtherReasonsDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := &Manager{log: slog.New(slog.NewTextHandler(&log, nil)), refusals: map[string]*Refusal{}}
		for i := range 120 {
			m.refused(&registration{Name: "a"}, fmt.Sprintf("reason %d", i))
			time.Sleep(time.Second)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
		if kept := m.Refusals(); len(kept) != 1 || kept[0].Reason != "reason 119" {
			t.Errorf("what is shown is %+v", kept)
		}
	})
}
