package sparkplug_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The oracle is protobuf's own codec on a description of the payload with the
// specification's field numbers. It shares no code with the package.

type fields []*descriptorpb.FieldDescriptorProto

func (f *fields) add(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string, repeated bool) {
	d := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if repeated {
		d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	if of != "" {
		full := ".oracle." + of
		d.TypeName = &full
	}
	*f = append(*f, d)
}

const (
	u32   = descriptorpb.FieldDescriptorProto_TYPE_UINT32
	u64   = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	flt   = descriptorpb.FieldDescriptorProto_TYPE_FLOAT
	dbl   = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE
	boo   = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	str   = descriptorpb.FieldDescriptorProto_TYPE_STRING
	byt   = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	msg   = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	plain = ""
)

// scalars adds int, long, float, double, boolean and string from a number on.
func (f *fields) scalars(from int32) {
	for i, kind := range []descriptorpb.FieldDescriptorProto_Type{u32, u64, flt, dbl, boo, str} {
		f.add([]string{"int", "long", "float", "double", "boolean", "string"}[i], from+int32(i), kind, plain, false)
	}
}

var oracle = func() protoreflect.FileDescriptor {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("oracle.proto"), Package: proto.String("oracle"), Syntax: proto.String("proto2")}
	message := func(name string, build func(*fields)) {
		var f fields
		build(&f)
		file.MessageType = append(file.MessageType, &descriptorpb.DescriptorProto{Name: &name, Field: f})
	}
	message("Payload", func(f *fields) {
		f.add("timestamp", 1, u64, plain, false)
		f.add("metrics", 2, msg, "Metric", true)
		f.add("seq", 3, u64, plain, false)
		f.add("uuid", 4, str, plain, false)
		f.add("body", 5, byt, plain, false)
	})
	message("Metric", func(f *fields) {
		f.add("name", 1, str, plain, false)
		f.add("alias", 2, u64, plain, false)
		f.add("timestamp", 3, u64, plain, false)
		f.add("datatype", 4, u32, plain, false)
		f.add("is_historical", 5, boo, plain, false)
		f.add("is_transient", 6, boo, plain, false)
		f.add("is_null", 7, boo, plain, false)
		f.add("metadata", 8, msg, "MetaData", false)
		f.add("properties", 9, msg, "PropertySet", false)
		f.scalars(10)
		f.add("bytes", 16, byt, plain, false)
		f.add("dataset", 17, msg, "DataSet", false)
		f.add("template", 18, msg, "Template", false)
	})
	message("MetaData", func(f *fields) { f.add("description", 8, str, plain, false) })
	message("PropertySet", func(f *fields) {
		f.add("keys", 1, str, plain, true)
		f.add("values", 2, msg, "PropertyValue", true)
	})
	message("PropertyValue", func(f *fields) {
		f.add("type", 1, u32, plain, false)
		f.add("is_null", 2, boo, plain, false)
		f.scalars(3)
	})
	message("DataSet", func(f *fields) {
		f.add("num_of_columns", 1, u64, plain, false)
		f.add("columns", 2, str, plain, true)
		f.add("types", 3, u32, plain, true)
		f.add("rows", 4, msg, "Row", true)
	})
	message("Row", func(f *fields) { f.add("elements", 1, msg, "Cell", true) })
	message("Cell", func(f *fields) { f.scalars(1) })
	message("Template", func(f *fields) {
		f.add("version", 1, str, plain, false)
		f.add("metrics", 2, msg, "Metric", true)
		f.add("parameters", 3, msg, "Parameter", true)
		f.add("template_ref", 4, str, plain, false)
		f.add("is_definition", 5, boo, plain, false)
	})
	message("Parameter", func(f *fields) {
		f.add("name", 1, str, plain, false)
		f.add("type", 2, u32, plain, false)
		f.scalars(3)
	})
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err)
	}
	return d
}()

// object is a message as the oracle is told it: names, and values that are
// numbers, text, bytes, objects or lists of them.
type object map[string]any

func message(name string, o object) *dynamicpb.Message {
	m := dynamicpb.NewMessage(oracle.Messages().ByName(protoreflect.Name(name)))
	for key, v := range o {
		f := m.Descriptor().Fields().ByName(protoreflect.Name(key))
		if f == nil {
			panic("no field " + key + " in " + name)
		}
		if !f.IsList() {
			m.Set(f, value(f, v))
			continue
		}
		list := m.Mutable(f).List()
		for _, item := range v.([]any) {
			list.Append(value(f, item))
		}
	}
	return m
}

func value(f protoreflect.FieldDescriptor, v any) protoreflect.Value {
	switch v := v.(type) {
	case object:
		return protoreflect.ValueOfMessage(message(string(f.Message().Name()), v))
	case int:
		if f.Kind() == protoreflect.Uint32Kind {
			return protoreflect.ValueOfUint32(uint32(v))
		}
		return protoreflect.ValueOfUint64(uint64(v))
	case uint64, float32, float64, bool, string, []byte:
		return protoreflect.ValueOf(v)
	}
	panic(fmt.Sprintf("%T", v))
}

// wire is the oracle's encoding of a payload.
func wire(t testing.TB, o object) []byte {
	t.Helper()
	b, err := proto.Marshal(message("Payload", o))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same reports whether the oracle reads the same in both.
func same(t testing.TB, a, b []byte) bool {
	t.Helper()
	var m [2]*dynamicpb.Message
	for i, text := range [][]byte{a, b} {
		m[i] = dynamicpb.NewMessage(oracle.Messages().ByName("Payload"))
		if err := proto.Unmarshal(text, m[i]); err != nil {
			t.Fatal(err)
		}
	}
	return proto.Equal(m[0], m[1])
}
