package alwayson

// Services that the platform and its edges ask of each other, and the names of their parts.
const (
	ServiceGetMetadata          = "GetMetadata"
	ServiceNotifyPropertyUpdate = "NotifyPropertyUpdate"
	ServiceSynchronize          = "SynchronizeModelState"
	ServiceGetSubscriptions     = "GetPropertySubscriptions"
	ServicePush                 = "UpdateSubscribedPropertyValues"

	// ContentField carries a JSON object of properties in a write whose types are not known.
	ContentField = "_content_"
	// AllProperties is the property name that stands for all of them, as "" does.
	AllProperties = "*"
)

// ServiceRequest returns the body of a POST that calls a service of an entity.
// Nil params are no parameters; OneRow makes them.
func ServiceRequest(et EntityType, entity, service string, params *InfoTable) *Request {
	return &Request{EntityType: et, Entity: entity, Characteristic: Services, Name: service, Params: params}
}

// PropertyRequest returns the body of a GET (nil params) or a PUT (one row with
// a field named as the property) of a property; name "*" or "" is all of them.
func PropertyRequest(et EntityType, entity, property string, params *InfoTable) *Request {
	return &Request{EntityType: et, Entity: entity, Characteristic: Properties, Name: property, Params: params}
}

// EventRequest returns the body of a POST that fires an event of a Thing. Nil data is no data.
func EventRequest(entity, event string, data *InfoTable) *Request {
	return &Request{EntityType: EntityThing, Entity: entity, Characteristic: Events, Name: event, Params: data}
}

// SubscriptionsRequest returns the body of the POST that asks for a Thing's
// property subscriptions; SubscriptionsFromTable reads the answer.
func SubscriptionsRequest(entity string) *Request {
	options := NewText(TypeJSON, `{"hasDeadband":true}`)
	return ServiceRequest(EntityThing, entity, ServiceGetSubscriptions, OneRow(Named{"options", options}))
}

// OK returns a success response with that content; NewTable(NewResult(v)) makes
// it from a service's result, NOTHING is success without a result.
func OK(content Value) *Response { return &Response{Code: Success, Content: content} }

// Fail returns an error response with a reason for the platform's user. A code
// that is not an error's becomes INTERNAL_SERVER_ERROR.
func Fail(code Code, reason string) *Response {
	if !code.IsStatus() || code.IsSuccess() {
		code = InternalServerError
	}
	return &Response{Code: code, Reason: reason, HasReason: true}
}
