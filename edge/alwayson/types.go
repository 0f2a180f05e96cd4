package alwayson

// BaseType is the type code of a primitive on the wire (one signed byte).
// An unknown code survives as its number in a field definition.
type BaseType int8

// Base types, with their wire codes.
const (
	TypeNothing                BaseType = -1
	TypeString                 BaseType = 0
	TypeNumber                 BaseType = 1
	TypeBoolean                BaseType = 2
	TypeDateTime               BaseType = 3
	TypeTimespan               BaseType = 4
	TypeInfoTable              BaseType = 5
	TypeLocation               BaseType = 6
	TypeXML                    BaseType = 7
	TypeJSON                   BaseType = 8
	TypeQuery                  BaseType = 9
	TypeImage                  BaseType = 10
	TypeHyperlink              BaseType = 11
	TypeImageLink              BaseType = 12
	TypePassword               BaseType = 13
	TypeHTML                   BaseType = 14
	TypeText                   BaseType = 15
	TypeTags                   BaseType = 16
	TypeSchedule               BaseType = 17
	TypeVariant                BaseType = 18
	TypeGUID                   BaseType = 20
	TypeBlob                   BaseType = 21
	TypeInteger                BaseType = 22
	TypeLong                   BaseType = 23
	TypePropertyName           BaseType = 50
	TypeServiceName            BaseType = 51
	TypeEventName              BaseType = 52
	TypeThingName              BaseType = 100
	TypeThingShapeName         BaseType = 101
	TypeThingTemplateName      BaseType = 102
	TypeDataShapeName          BaseType = 104
	TypeMashupName             BaseType = 105
	TypeMenuName               BaseType = 106
	TypeBaseTypeName           BaseType = 107
	TypeUserName               BaseType = 108
	TypeGroupName              BaseType = 109
	TypeCategoryName           BaseType = 110
	TypeStateDefinitionName    BaseType = 111
	TypeStyleDefinitionName    BaseType = 112
	TypeModelTagVocabularyName BaseType = 113
	TypeDataTagVocabularyName  BaseType = 114
	TypeNetworkName            BaseType = 115
	TypeMediaEntityName        BaseType = 116
	TypeApplicationKeyName     BaseType = 117
	TypeLocalizationTableName  BaseType = 118
	TypeOrganizationName       BaseType = 119
	TypeDashboardName          BaseType = 120
)

// Code is a message's method (below 0x40) or status (0x40 and above).
type Code byte

// Methods.
const (
	Get       Code = 0x01
	Put       Code = 0x02
	Post      Code = 0x03
	Delete    Code = 0x04
	BindCode  Code = 0x0A
	Unbind    Code = 0x0B
	AuthCode  Code = 0x14
	KeepAlive Code = 0x1F
)

// Statuses.
const (
	Success                  Code = 0x40
	BadRequest               Code = 0x80
	Unauthorized             Code = 0x81
	BadOption                Code = 0x82
	Forbidden                Code = 0x83
	NotFound                 Code = 0x84
	MethodNotAllowed         Code = 0x85
	NotAcceptable            Code = 0x86
	PreconditionFailed       Code = 0x8C
	EntityTooLarge           Code = 0x8D
	UnsupportedContentFormat Code = 0x8F
	InternalServerError      Code = 0xA0
	NotImplemented           Code = 0xA1
	BadGateway               Code = 0xA2
	ServiceUnavailable       Code = 0xA3
	GatewayTimeout           Code = 0xA4
)

// IsStatus reports whether c belongs to a response.
func (c Code) IsStatus() bool { return c >= 0x40 }

// IsSuccess reports whether c is of the success class (code >> 5 == 2).
// Every other status is an error.
func (c Code) IsSuccess() bool { return c>>5 == 2 }

// IsRequest reports whether c is GET, PUT, POST or DELETE: the methods whose
// messages carry a Request body and must be answered.
func (c Code) IsRequest() bool { return c >= Get && c <= Delete }

// Reserved ids. An edge counts its request ids from 1.
const (
	NoSession uint32 = 0xFFFFFFFF // session id in AUTH
	NoRequest uint32 = 0xFFFFFFFF // never a request's; a SUCCESS with it announces a session and answers no call
)

// EntityType names the kind of entity that a request is for.
type EntityType byte

// Entity types in use.
const (
	EntityThing          EntityType = 0x0A
	EntityThingShape     EntityType = 0x0B
	EntityThingTemplate  EntityType = 0x0C
	EntityNetwork        EntityType = 0x0E
	EntityDataShape      EntityType = 0x0F
	EntityUser           EntityType = 0x32
	EntityGroup          EntityType = 0x33
	EntityApplicationKey EntityType = 0x35
	EntityResource       EntityType = 0x3C
	EntitySubsystem      EntityType = 0x50
)

// Characteristic is the part of an entity that a request is for.
type Characteristic byte

// Characteristics.
const (
	Properties Characteristic = 1
	Services   Characteristic = 2
	Events     Characteristic = 3
)

// Header is the fixed 15-byte start of every message.
type Header struct {
	Code       Code
	RequestID  uint32
	EndpointID uint32
	SessionID  uint32
}

// Message is one whole AlwaysOn message. Body is *Auth, *Bind, *Request or
// *Response according to Code, and nil for KEEP_ALIVE, for a bare header and
// for an unknown method.
type Message struct {
	Header
	Body Body
}

// Body is one of *Auth, *Bind, *Request, *Response.
type Body interface {
	// appendTo appends the body's canonical encoding to dst.
	appendTo(dst []byte) ([]byte, error)
}

// Claim is one name and value of an AUTH; the application key is claim "appKey".
type Claim struct{ Name, Value string }

// Auth is the body of AUTH.
type Auth struct {
	Claims []Claim
	Cut    bool // on reading: the message ended inside the last claim's value, which is a prefix
}

// Gateway is the optional start of a BIND or UNBIND.
type Gateway struct{ Name, Type string }

// Bind is the body of BIND and UNBIND. A name that starts with '*' is an identifier.
type Bind struct {
	Gateway *Gateway
	Names   []string
}

// Request is the body of GET, PUT, POST and DELETE.
type Request struct {
	EntityType     EntityType
	Entity         string // name, or "*identifier"
	Characteristic Characteristic
	Name           string     // of the property ("" or "*": all), service or event
	Headers        []Claim    // read and kept, never emitted
	Params         *InfoTable // nil: no parameters
}

// Response is the body of every status message. Code is the header's, repeated
// here so that an answer can be handed on without its header: decoding sets it,
// and whoever sends a Response puts it into the header (0 means SUCCESS).
type Response struct {
	Code      Code
	Reason    string
	HasReason bool  // the reason marker; on encoding, a non-empty Reason sets it too
	Content   Value // NOTHING, an INFOTABLE, or (tolerated on reading) any other primitive
}

// Location is a LOCATION value in degrees and metres.
type Location struct{ Latitude, Longitude, Elevation float64 }

// Field defines one column of an info table.
type Field struct {
	Name        string
	Description string
	Type        BaseType
	Aspects     []Aspect
}

// Aspect is one named attribute of a field.
type Aspect struct {
	Name  string
	Value Value
}

// InfoTable is a data shape and rows. A row may hold fewer cells than there
// are fields (the rest reads as NOTHING) and, when built by hand, must not hold more.
type InfoTable struct {
	Fields []Field
	Rows   [][]Value
}

// Limits bound what decoding one message may cost. A zero field means its default.
type Limits struct {
	Depth  int // nesting of VARIANT, INFOTABLE and aspects; default 16
	Fields int // field definitions in a message; default 10,000
	Rows   int // rows in a message; default 200,000
	Cells  int // cells and aspects in a message; default 500,000
}

// DecodeError says at which byte of the input decoding failed and why.
type DecodeError struct {
	Offset int
	What   string // what was being read: "string length", "field name", …
	Err    error  // one of the sentinel errors
}
