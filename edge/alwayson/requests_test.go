package alwayson

import (
	"encoding/hex"
	"testing"
)

func TestRequestsAreThoseOfThePlatformsOwnClient(t *testing.T) {
	const when = 1577836800123
	want := map[string]Body{
		"msg_get_property":                  PropertyRequest(EntityThing, "Thing1", "Temp", nil),
		"msg_get_property_star":             PropertyRequest(EntityThing, "Thing1", AllProperties, nil),
		"msg_put_property_number":           PropertyRequest(EntityThing, "Thing1", "Temp", OneRow(Named{"Temp", NewNumber(98.6)})),
		"msg_put_property_content_json":     PropertyRequest(EntityThing, "Thing1", "Any", OneRow(Named{ContentField, NewText(TypeJSON, `{"Any":5}`)})),
		"msg_post_service_noparams":         ServiceRequest(EntityThing, "Thing1", "GetStatus", nil),
		"msg_post_service_subsystem":        ServiceRequest(EntitySubsystem, "WSCommunicationsSubsystem", "GetSessionInfo", nil),
		"msg_post_service_thingtemplate":    ServiceRequest(EntityThingTemplate, "RemoteThing", "GetX", nil),
		"msg_post_GetPropertySubscriptions": SubscriptionsRequest("Thing1"),
		"msg_post_service_params": ServiceRequest(EntityThing, "Thing1", "Echo", OneRow(
			Named{"in", NewString("hello")}, Named{"times", NewInteger(3)}, Named{"when", NewDateTime(when)})),
		"msg_post_event_params": EventRequest("Thing1", "Overheat", OneRow(
			Named{"message", NewString("too hot")}, Named{"severity", NewNumber(7)})),
		"msg_post_UpdateSubscribedPropertyValues_2props": PushRequest("Thing1", []PropertyValue{
			{"Temp", NewNumber(21.75), when, QualityGood}, {"Status", NewString("running"), when + 1333, "UNCERTAIN"}}),
		"msg_post_PushProperties_2props": PushRequest("Thing1", []PropertyValue{
			{"Temp", NewNumber(1.25), when, ""}, {"Flag", NewBoolean(true), when + 1, QualityGood}}),
		"msg_response_success_nothing":                OK(Value{}),
		"msg_response_success_infotable":              OK(NewTable(NewResult(NewString("ok")))),
		"msg_response_error_404_reason_marker_forced": Fail(NotFound, "No such thing"),
	}
	for _, v := range loadVectors(t) {
		body, ok := want[v.Name]
		if !ok {
			continue
		}
		delete(want, v.Name)
		h, _, err := ParseHeader(unhex(t, v.Hex))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Append(nil, &Message{Header: h, Body: body})
		if err != nil || hex.EncodeToString(b) != v.Hex {
			t.Errorf("%s: err %v\n got %x\nwant %s", v.Name, err, b, v.Hex)
		}
	}
	if len(want) != 0 {
		t.Errorf("no vectors for %v", want)
	}
	if r := Fail(Success, "x"); r.Code != InternalServerError || Fail(Post, "x").Code != InternalServerError {
		t.Errorf("a failure of code %v", r.Code)
	}
}
