package edge

import (
	"context"
	"testing"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/simulator"
)

// TestAgainstTheSimulatedPlatform goes the whole way once on loopback: bind,
// synchronise, push, serve a call, leave.
func TestAgainstTheSimulatedPlatform(t *testing.T) {
	platform, err := simulator.New(simulator.Options{AppKey: testKey})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- platform.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("platform: %v", err)
		}
	})
	meta := alwayson.Metadata{Name: "pump-1", Properties: []alwayson.PropertyDefinition{{FieldDefinition: alwayson.FieldDefinition{Name: "flow", Type: alwayson.TypeNumber}, Push: alwayson.PushAlways}},
		Services: []alwayson.ServiceDefinition{{Name: "Reset", Output: alwayson.FieldDefinition{Name: "result", Type: alwayson.TypeString}}}}
	h := &recorder{onRequest: func(_ string, _ alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
		result := alwayson.NewString("done")
		if req.Name == alwayson.ServiceGetMetadata {
			result = alwayson.NewText(alwayson.TypeJSON, string(meta.JSON()))
		}
		respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(result))))
	}}
	c := run(t, testOptions(platform.WSURL()), h)
	c.Want("pump-1")
	await(t, c, "subscribed", func(Status) bool { return len(h.subscribed("pump-1")) == 1 })
	push := alwayson.PushRequest("pump-1", []alwayson.PropertyValue{{Name: "flow", Value: alwayson.NewNumber(2.5), Time: 1_700_000_000_000, Quality: alwayson.QualityGood}})
	callCtx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	if resp, err := c.Call(callCtx, alwayson.Post, push); err != nil || !resp.Code.IsSuccess() {
		t.Fatalf("push: %v %v", resp, err)
	}
	if v, ok := platform.Value("pump-1", "flow"); !ok || v.Value.Number() != 2.5 {
		t.Errorf("the platform has %v, %v", v, ok)
	}
	resp, err := platform.Call(callCtx, alwayson.Post, service("pump-1", "Reset"))
	if err != nil || alwayson.Result(resp.Content, "result").Text() != "done" {
		t.Errorf("call from the platform: %v %v", resp, err)
	}
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, thing := range platform.Things() {
		if thing.Name == "pump-1" && thing.Connected {
			t.Error("pump-1 is still bound after Run")
		}
	}
}
