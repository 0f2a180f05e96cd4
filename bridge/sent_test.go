package bridge

import (
	"hash/fnv"
	"strings"
	"testing"

	"thingbridge/edge/alwayson"
)

// The hashes are saved: another way to reckon them would push every retained
// value again after an upgrade.
func TestHashesStayThoseThatWereSaved(t *testing.T) {
	for _, text := range []string{"", "a", "temperature", strings.Repeat("ä", 5000)} {
		want := fnv.New64a()
		_, _ = want.Write([]byte(text))
		if got := hashText(text); got != want.Sum64() {
			t.Errorf("%.20q: %x; want %x", text, got, want.Sum64())
		}
		v := alwayson.PropertyValue{Name: "p", Value: alwayson.NewString(text), Quality: alwayson.QualityGood}
		data, err := alwayson.AppendValue(nil, v.Value)
		if err != nil {
			t.Fatal(err)
		}
		want.Reset()
		_, _ = want.Write(data)
		_, _ = want.Write([]byte(v.Quality))
		for range 2 { // the buffer is used again
			if got := hashValue(&v); got != want.Sum64() {
				t.Errorf("value %.20q: %x; want %x", text, got, want.Sum64())
			}
		}
	}
}
