package rest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkParallelCallers has 200 callers use the platform through the bridge:
// the whole way, HTTP and WebSocket on loopback, platform in the same process.
func BenchmarkParallelCallers(b *testing.B) {
	for _, c := range []struct{ name, method, path, body string }{
		{"a property is read", "GET", pump + "Properties/note", ""},
		{"a service of the device", "POST", pump + "Services/Add", `{"a":2,"b":3}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := begin(b, nil)
			b.SetParallelism(100) // times two cores
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, err := http.NewRequest(c.method, w.base+c.path, strings.NewReader(c.body))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Content-Type", "application/json")
					resp, err := w.http.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
						b.Errorf("%d %v", resp.StatusCode, err)
					}
					resp.Body.Close()
				}
			})
		})
	}
}
