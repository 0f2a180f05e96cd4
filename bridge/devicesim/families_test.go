package devicesim

import (
	"strings"
	"testing"
	"time"
)

// TestATasmotaDeviceAnswersLikeOne and the others try what the device side
// promises; the presets are tried against it in the integration tests.
func TestATasmotaDeviceAnswersLikeOne(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "stat/plug-1/+", "tele/plug-1/+", "tasmota/discovery/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "tasmota", Prefix: "plug-", Interval: time.Hour, OneConnectionPerDevice: true})
	until(t, ch, "config", func(h heard) bool { return strings.HasSuffix(h.topic, tasmotaMAC("plug-1")+"/config") })
	until(t, ch, "sensors", func(h heard) bool {
		return strings.HasSuffix(h.topic, "/sensors") && strings.Contains(h.payload, "ENERGY")
	})
	for _, step := range []struct{ command, payload, topic, want string }{
		{"Power", "OFF", "stat/plug-1/RESULT", `{"POWER":"OFF"}`},
		{"POWER1", "TOGGLE", "stat/plug-1/POWER", "ON"},
		{"TelePeriod", "60", "stat/plug-1/RESULT", `{"TelePeriod":60}`},
		{"Fly", "", "stat/plug-1/RESULT", `{"Command":"Unknown"}`},
		{"Status", "8", "stat/plug-1/STATUS8", ""},
	} {
		c.Publish("cmnd/plug-1/"+step.command, 1, false, step.payload)
		until(t, ch, step.want, func(h heard) bool { return h.topic == step.topic && (step.want == "" || h.payload == step.want) })
	}
	stop()
	until(t, ch, "goodbye", func(h heard) bool { return h.topic == "tele/plug-1/LWT" && h.payload == "Offline" })
}

func TestAShellyAnswersWhereItIsTold(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "me/rpc", "plug-1/online", "plug-1/events/rpc")
	simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "shelly", Prefix: "plug-", Interval: time.Hour, OneConnectionPerDevice: true})
	until(t, ch, "online", func(h heard) bool { return h.topic == "plug-1/online" && h.payload == "true" })
	for i, step := range []struct{ request, want string }{
		{`{"id":1,"src":"me","method":"Switch.Set","params":{"id":0,"on":false}}`, `{"dst":"me","id":1,"result":{"was_on":true},"src":"plug-1"}`},
		{`{"id":2,"src":"me","method":"Switch.Set","params":{"id":9,"on":false}}`, `{"dst":"me","error":{"code":-105,"message":"Argument 'id', value 9 not found!"},"id":2,"src":"plug-1"}`},
		{`{"id":3,"src":"me","method":"Nothing"}`, `{"dst":"me","error":{"code":404,"message":"No handler for Nothing"},"id":3,"src":"plug-1"}`},
	} {
		c.Publish("plug-1/rpc", 1, false, step.request)
		until(t, ch, step.want, func(h heard) bool { return h.topic == "me/rpc" && h.payload == step.want })
		if i == 0 {
			until(t, ch, "notification", func(h heard) bool { return strings.Contains(h.payload, `"output":false`) })
		}
	}
}

func TestAllOldShelliesAnswerTheCommonCommand(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "shellies/announce", "shellies/+/relay/0", "shellies/+/online")
	simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "shelly-gen1", Prefix: "r", Count: 2, Interval: time.Hour})
	until(t, ch, "online", func(h heard) bool { return h.topic == "shellies/shelly1pm-r2/online" && h.payload == "true" })
	until(t, ch, "announcement", func(h heard) bool { return h.topic == "shellies/announce" })
	c.Publish("shellies/command", 1, false, "announce")
	until(t, ch, "first", func(h heard) bool { return strings.Contains(h.payload, `"shelly1pm-r1"`) })
	until(t, ch, "second", func(h heard) bool { return strings.Contains(h.payload, `"shelly1pm-r2"`) })
	c.Publish("shellies/shelly1pm-r2/relay/0/command", 1, false, "off")
	until(t, ch, "state", func(h heard) bool { return h.topic == "shellies/shelly1pm-r2/relay/0" && h.payload == "off" })
}

func TestHomie4DevicesDescribeThemselvesInMessagesAndObey(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "homie/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "homie4", Prefix: "m", Interval: time.Hour, OneConnectionPerDevice: true})
	until(t, ch, "unit", func(h heard) bool { return h.topic == "homie/m1/inputs/ai-40/$unit" && h.payload == "V" })
	until(t, ch, "ready", func(h heard) bool { return h.topic == "homie/m1/$state" && h.payload == "ready" })
	for _, step := range [][2]string{{"drive/speed", "5000"}, {"drive/temperature", "1"}, {"drive/mode", "fast"}, {"drive/speed", "100"}} {
		c.Publish("homie/m1/"+step[0]+"/set", 1, false, step[1])
	}
	h := until(t, ch, "a value", func(h heard) bool {
		return strings.HasPrefix(h.topic, "homie/m1/drive/") && !strings.HasSuffix(h.topic, "/set")
	})
	if h.topic != "homie/m1/drive/speed" || h.payload != "100" {
		t.Errorf("the device took %v", h)
	}
	stop()
	until(t, ch, "goodbye", func(h heard) bool { return h.topic == "homie/m1/$state" && h.payload == "disconnected" })
}

func TestAHomie5DeviceHasAChildThatSaysItsTargetFirst(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "homie/5/#")
	simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "homie5", Prefix: "p", Interval: time.Hour, OneConnectionPerDevice: true})
	until(t, ch, "description", func(h heard) bool {
		return h.topic == "homie/5/p1-valve/$description" && strings.Contains(h.payload, `"root":"p1"`)
	})
	until(t, ch, "ready", func(h heard) bool { return h.topic == "homie/5/p1-valve/$state" && h.payload == "ready" })
	c.Publish("homie/5/p1-valve/valve/position/set", 1, false, "40")
	until(t, ch, "target", func(h heard) bool { return h.topic == "homie/5/p1-valve/valve/position/$target" && h.payload == "40" })
	until(t, ch, "position", func(h heard) bool { return h.topic == "homie/5/p1-valve/valve/position" && h.payload == "40" })
	c.Publish("homie/5/p1/panel/beep/set", 0, false, "2")
	until(t, ch, "beep", func(h heard) bool { return h.topic == "homie/5/p1/panel/beep" && h.payload == "2" })
}

func TestAThinEdgeDeviceMovesACommandOnUntilItIsCleared(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "te/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "thin-edge", Prefix: "c", Interval: time.Hour})
	until(t, ch, "the child", func(h heard) bool {
		return h.topic == "te/device/c1//" && strings.Contains(h.payload, `"@type":"child-device"`)
	})
	until(t, ch, "a measurement", func(h heard) bool {
		return h.topic == "te/device/c1///m/environment" && strings.Contains(h.payload, `"L1":9.5`)
	})
	for _, step := range []struct{ topic, command, want string }{
		{"te/device/c1///cmd/log_upload/1", `{"status":"init","type":"driver"}`, `"status":"successful"`},
		{"te/device/c1///cmd/log_upload/2", `{"status":"init","type":"other"}`, `"reason":"there is no such log"`},
		{"te/device/main///cmd/software_list/3", `{"status":"init"}`, `"currentSoftwareList"`},
	} {
		c.Publish(step.topic, 1, true, step.command)
		until(t, ch, "executing", func(h heard) bool { return h.topic == step.topic && strings.Contains(h.payload, `"executing"`) })
		until(t, ch, step.want, func(h heard) bool { return h.topic == step.topic && strings.Contains(h.payload, step.want) })
		c.Publish(step.topic, 1, true, "")
	}
	stop()
	until(t, ch, "goodbye", func(h heard) bool {
		return h.topic == "te/device/main/service/tedge-agent/status/health" && strings.Contains(h.payload, "down")
	})
}
