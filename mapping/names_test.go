package mapping_test

import (
	"testing"

	"thingbridge/mapping"
)

func TestADevicesPropertyIsNeverNamedAsOneThatEveryThingHas(t *testing.T) {
	for own, want := range map[string]string{
		"name": "name_", "name_": "name__", "name__": "name___", "description": "description_", "thingTemplate": "thingTemplate_",
		"tags": "tags_", "isConnected": "isConnected_", "lastConnection": "lastConnection_", "isReporting": "isReporting_",
		"reportingLastChange": "reportingLastChange_", "reportingLastEvaluation": "reportingLastEvaluation_",
		"": "", "_": "_", "Name": "Name", "names": "names", "_name": "_name", "name_x": "name_x", "temp": "temp", "temp_": "temp_",
	} {
		if got := mapping.PropertyName(own); got != want {
			t.Errorf("%q becomes %q, want %q", own, got, want)
		}
	}
}
