package simulator

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// xmlEntities is the part of a platform's entity export that the simulator reads.
type xmlEntities struct {
	Things     []xmlThing     `xml:"Things>Thing"`
	Templates  []xmlThing     `xml:"ThingTemplates>ThingTemplate"`
	DataShapes []xmlDataShape `xml:"DataShapes>DataShape"`
}

// xmlThing is a Thing or a ThingTemplate, whose own definitions are not inherited.
type xmlThing struct {
	Name        string        `xml:"name,attr"`
	Description string        `xml:"description,attr"`
	Identifier  string        `xml:"identifier,attr"`
	Template    string        `xml:"thingTemplate,attr"`
	Base        string        `xml:"baseThingTemplate,attr"`
	Enabled     string        `xml:"enabled,attr"`
	Properties  []xmlProperty `xml:"ThingShape>PropertyDefinitions>PropertyDefinition"`
	Services    []xmlService  `xml:"ThingShape>ServiceDefinitions>ServiceDefinition"`
	Events      []xmlEvent    `xml:"ThingShape>EventDefinitions>EventDefinition"`
	Bindings    []xmlBinding  `xml:"RemotePropertyBindings>RemotePropertyBinding"`
	Remote      []xmlBinding  `xml:"RemoteServiceBindings>RemoteServiceBinding"`
}

type xmlProperty struct {
	Name        string `xml:"name,attr"`
	Description string `xml:"description,attr"`
	BaseType    string `xml:"baseType,attr"`
	Default     string `xml:"aspect.defaultValue,attr"`
	Logged      string `xml:"aspect.isLogged,attr"`
	ReadOnly    string `xml:"aspect.isReadOnly,attr"`
	DataShape   string `xml:"aspect.dataShape,attr"`
}

type xmlService struct {
	Name        string        `xml:"name,attr"`
	Description string        `xml:"description,attr"`
	Output      xmlProperty   `xml:"ResultType"`
	Inputs      []xmlProperty `xml:"ParameterDefinitions>FieldDefinition"`
}

type xmlEvent struct {
	Name        string `xml:"name,attr"`
	Description string `xml:"description,attr"`
	DataShape   string `xml:"dataShape,attr"`
}

type xmlBinding struct {
	Name      string `xml:"name,attr"`
	Source    string `xml:"sourceName,attr"`
	Push      string `xml:"pushType,attr"`
	Threshold string `xml:"pushThreshold,attr"`
	CacheTime string `xml:"cacheTime,attr"`
}

type xmlDataShape struct {
	Name        string        `xml:"name,attr"`
	Description string        `xml:"description,attr"`
	Fields      []xmlProperty `xml:"FieldDefinitions>FieldDefinition"`
}

// restImport serves the upload of an entity export as multipart/form-data.
// Templates, DataShapes and Things that exist already get the new definitions.
func (p *Platform) restImport(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		http.Error(w, "import: "+err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	imported := 0
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, "import: "+err.Error(), http.StatusBadRequest)
			return
		}
		if part.FileName() == "" {
			continue
		}
		var entities xmlEntities
		if err := xml.NewDecoder(io.LimitReader(part, 64<<20)).Decode(&entities); err != nil {
			http.Error(w, fmt.Sprintf("import %s: %v", part.FileName(), err), http.StatusBadRequest)
			return
		}
		if err := p.importEntities(&entities); err != nil {
			http.Error(w, fmt.Sprintf("import %s: %v", part.FileName(), err), http.StatusInternalServerError)
			return
		}
		imported++
	}
	if imported == 0 {
		http.Error(w, "import: no file in the form", http.StatusBadRequest)
	}
}

func (p *Platform) importEntities(in *xmlEntities) error {
	p.mu.Lock()
	for _, t := range in.Templates {
		p.templates[key(t.Name)] = &template{t.Name, t.Base}
	}
	for _, s := range in.DataShapes {
		sh := &shape{name: s.Name, description: s.Description}
		for _, f := range s.Fields {
			sh.fields = append(sh.fields, f.field())
		}
		p.shapes[key(s.Name)] = sh
	}
	p.mu.Unlock()
	for _, x := range in.Things {
		t := p.lookup(x.Name)
		if t == nil {
			var err error
			if t, err = p.createThing(x.Name, x.Description, x.Template); err != nil {
				return err
			}
		}
		if err := p.setIdentifier(t, x.Identifier); err != nil {
			return err
		}
		for _, tp := range in.Templates {
			if strings.EqualFold(tp.Name, x.Template) {
				p.define(t, &tp)
			}
		}
		p.define(t, &x)
		t.mu.Lock()
		t.enabled = x.Enabled != "false"
		t.mu.Unlock()
		t.auto.Store(false)
		p.reclaim(t)
	}
	return nil
}

// define adds the definitions of an exported entity to a Thing.
func (p *Platform) define(t *thing, x *xmlThing) {
	bindings := map[string]*propertyBinding{}
	for _, b := range x.Bindings {
		bindings[b.Name] = b.binding()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, xp := range x.Properties {
		pr := &property{
			def:     alwayson.PropertyDefinition{FieldDefinition: xp.field(), ReadOnly: xp.ReadOnly == "true"},
			logged:  xp.Logged == "true",
			binding: bindings[xp.Name],
		}
		if xp.Default != "" {
			if v, fits := restjson.Coerce(alwayson.NewString(xp.Default), pr.def.Type); fits {
				pr.fallback = v
			}
		}
		t.addPropertyLocked(pr, &p.opts)
	}
	for name, b := range bindings {
		if pr := t.props[name]; pr != nil {
			pr.binding = b
		}
	}
	t.indexLocked()
	remote := map[string]string{}
	for _, b := range x.Remote {
		remote[b.Name] = b.Source
	}
	for _, xs := range x.Services {
		s := &service{def: alwayson.ServiceDefinition{Name: xs.Name, Description: xs.Description, Output: xs.Output.field()}}
		for _, in := range xs.Inputs {
			s.def.Inputs = append(s.def.Inputs, in.field())
		}
		s.edgeName, s.remote = remote[xs.Name], remote[xs.Name] != ""
		t.addServiceLocked(s)
	}
	for _, xe := range x.Events {
		t.addEventLocked(&event{def: alwayson.EventDefinition{Name: xe.Name, Description: xe.Description, DataShape: xe.DataShape}})
	}
}

func (x *xmlProperty) field() alwayson.FieldDefinition {
	return alwayson.FieldDefinition{
		Name: x.Name, Description: x.Description, Type: baseType(x.BaseType, alwayson.TypeNothing), DataShape: x.DataShape,
	}
}

func (x *xmlBinding) binding() *propertyBinding {
	push, known := alwayson.ParsePushType(x.Push)
	if !known {
		push = alwayson.PushValue
	}
	b := &propertyBinding{edgeName: x.Source, push: push, cacheTime: -1, foldType: "NONE"}
	if b.edgeName == "" {
		b.edgeName = x.Name
	}
	if f, err := strconv.ParseFloat(x.Threshold, 64); err == nil {
		b.threshold = f
	}
	if ms, err := strconv.ParseInt(x.CacheTime, 10, 64); err == nil {
		b.cacheTime = ms
	}
	return b
}
