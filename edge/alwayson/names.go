package alwayson

import (
	"fmt"
	"strconv"
	"strings"
)

var baseTypeNames = map[BaseType]string{
	TypeNothing: "NOTHING", TypeString: "STRING", TypeNumber: "NUMBER", TypeBoolean: "BOOLEAN",
	TypeDateTime: "DATETIME", TypeTimespan: "TIMESPAN", TypeInfoTable: "INFOTABLE", TypeLocation: "LOCATION",
	TypeXML: "XML", TypeJSON: "JSON", TypeQuery: "QUERY", TypeImage: "IMAGE", TypeHyperlink: "HYPERLINK",
	TypeImageLink: "IMAGELINK", TypePassword: "PASSWORD", TypeHTML: "HTML", TypeText: "TEXT", TypeTags: "TAGS",
	TypeSchedule: "SCHEDULE", TypeVariant: "VARIANT", TypeGUID: "GUID", TypeBlob: "BLOB", TypeInteger: "INTEGER",
	TypeLong: "LONG", TypePropertyName: "PROPERTYNAME", TypeServiceName: "SERVICENAME", TypeEventName: "EVENTNAME",
	TypeThingName: "THINGNAME", TypeThingShapeName: "THINGSHAPENAME", TypeThingTemplateName: "THINGTEMPLATENAME",
	TypeDataShapeName: "DATASHAPENAME", TypeMashupName: "MASHUPNAME", TypeMenuName: "MENUNAME",
	TypeBaseTypeName: "BASETYPENAME", TypeUserName: "USERNAME", TypeGroupName: "GROUPNAME",
	TypeCategoryName: "CATEGORYNAME", TypeStateDefinitionName: "STATEDEFINITIONNAME",
	TypeStyleDefinitionName: "STYLEDEFINITIONNAME", TypeModelTagVocabularyName: "MODELTAGVOCABULARYNAME",
	TypeDataTagVocabularyName: "DATATAGVOCABULARYNAME", TypeNetworkName: "NETWORKNAME",
	TypeMediaEntityName: "MEDIAENTITYNAME", TypeApplicationKeyName: "APPLICATIONKEYNAME",
	TypeLocalizationTableName: "LOCALIZATIONTABLENAME", TypeOrganizationName: "ORGANIZATIONNAME",
	TypeDashboardName: "DASHBOARDNAME",
}

var baseTypesByName = func() map[string]BaseType {
	m := make(map[string]BaseType, len(baseTypeNames))
	for t, name := range baseTypeNames {
		m[name] = t
	}
	return m
}()

// SystemProperty reports whether every Thing has a property of that name, or every
// remote Thing has: none can be added, and none can be written.
func SystemProperty(name string) bool {
	switch name {
	case "name", "description", "thingTemplate", "tags",
		"isConnected", "lastConnection", "isReporting", "reportingLastChange", "reportingLastEvaluation":
		return true
	}
	return false
}

// String returns the platform's name of t, or "BASETYPE(77)" for an unknown code.
func (t BaseType) String() string {
	if name, ok := baseTypeNames[t]; ok {
		return name
	}
	return "BASETYPE(" + strconv.Itoa(int(t)) + ")"
}

// Known reports whether t is a base type of the platform, TIMESPAN and SCHEDULE included.
func (t BaseType) Known() bool {
	_, ok := baseTypeNames[t]
	return ok
}

// IsText reports whether values of t are strings on the wire.
func (t BaseType) IsText() bool {
	switch t {
	case TypeString, TypeXML, TypeJSON, TypeQuery, TypeHyperlink, TypeImageLink, TypePassword, TypeHTML, TypeText, TypeTags, TypeGUID,
		TypePropertyName, TypeServiceName, TypeEventName, TypeThingName, TypeThingShapeName, TypeThingTemplateName:
		return true
	}
	return t >= TypeDataShapeName && t <= TypeDashboardName
}

// IsNumeric reports whether a push threshold counts for t: NUMBER, INTEGER and LONG.
func (t BaseType) IsNumeric() bool {
	return t == TypeNumber || t == TypeInteger || t == TypeLong
}

// ParseBaseType returns the base type of that name, in any case.
func ParseBaseType(name string) (BaseType, bool) {
	if t, ok := baseTypesByName[name]; ok {
		return t, true
	}
	t, ok := baseTypesByName[strings.ToUpper(name)]
	return t, ok
}

var codeNames = map[Code]string{
	Get: "GET", Put: "PUT", Post: "POST", Delete: "DELETE", BindCode: "BIND", Unbind: "UNBIND", AuthCode: "AUTH", KeepAlive: "KEEP_ALIVE",
	Success: "SUCCESS", BadRequest: "BAD_REQUEST", Unauthorized: "UNAUTHORIZED", BadOption: "BAD_OPTION", Forbidden: "FORBIDDEN",
	NotFound: "NOT_FOUND", MethodNotAllowed: "METHOD_NOT_ALLOWED", NotAcceptable: "NOT_ACCEPTABLE",
	PreconditionFailed: "PRECONDITION_FAILED", EntityTooLarge: "ENTITY_TOO_LARGE",
	UnsupportedContentFormat: "UNSUPPORTED_CONTENT_FORMAT", InternalServerError: "INTERNAL_SERVER_ERROR",
	NotImplemented: "NOT_IMPLEMENTED", BadGateway: "BAD_GATEWAY", ServiceUnavailable: "SERVICE_UNAVAILABLE",
	GatewayTimeout: "GATEWAY_TIMEOUT",
}

// String returns a method's name ("POST"), a status' name and number
// ("NOT_FOUND (0x84)"), or the number alone ("0x9F") for an unknown code.
func (c Code) String() string {
	name, ok := codeNames[c]
	switch {
	case !ok:
		return fmt.Sprintf("0x%02X", byte(c))
	case c.IsStatus():
		return fmt.Sprintf("%s (0x%02X)", name, byte(c))
	}
	return name
}

// HTTPStatus returns the HTTP status that says the same as the status c. An
// unknown status becomes 200, 400 or 500 by its class; a method is 500.
func (c Code) HTTPStatus() int {
	class, detail := c>>5, int(c&0x1F)
	switch {
	case class == 2:
		return 200
	case c == BadOption || class == 4 && codeNames[c] == "":
		return 400
	case class == 4:
		return 400 + detail
	case class == 5 && codeNames[c] != "":
		return 500 + detail
	}
	return 500
}

type entityName struct {
	t                  EntityType
	single, collection string
}

var entityNames = []entityName{
	{EntityThing, "Thing", "Things"},
	{EntityThingShape, "ThingShape", "ThingShapes"},
	{EntityThingTemplate, "ThingTemplate", "ThingTemplates"},
	{EntityNetwork, "Network", "Networks"},
	{EntityDataShape, "DataShape", "DataShapes"},
	{EntityUser, "User", "Users"},
	{EntityGroup, "Group", "Groups"},
	{EntityApplicationKey, "ApplicationKey", "ApplicationKeys"},
	{EntityResource, "Resource", "Resources"},
	{EntitySubsystem, "Subsystem", "Subsystems"},
}

// String returns the entity type's name ("Thing"), or "ENTITY(0x99)" for an unknown one.
func (t EntityType) String() string {
	for _, e := range entityNames {
		if e.t == t {
			return e.single
		}
	}
	return fmt.Sprintf("ENTITY(0x%02X)", byte(t))
}

// Collection returns the name of the entity type's collection ("Things"), as
// in the platform's REST paths; "" for an unknown one.
func (t EntityType) Collection() string {
	for _, e := range entityNames {
		if e.t == t {
			return e.collection
		}
	}
	return ""
}

// ParseEntityCollection returns the entity type of a collection's name, in any case.
func ParseEntityCollection(name string) (EntityType, bool) {
	for _, e := range entityNames {
		if strings.EqualFold(e.collection, name) {
			return e.t, true
		}
	}
	return 0, false
}

// String returns "properties", "services" or "events", or "CHARACTERISTIC(9)".
func (c Characteristic) String() string {
	switch c {
	case Properties:
		return "properties"
	case Services:
		return "services"
	case Events:
		return "events"
	}
	return "CHARACTERISTIC(" + strconv.Itoa(int(c)) + ")"
}

// String shows the claim's name and never its value.
func (c Claim) String() string { return c.Name + "=<secret>" }

// GoString is String.
func (c Claim) GoString() string { return c.String() }
