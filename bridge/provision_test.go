package bridge_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// factory is a platform's side of provisioning, in farPlatform's judge.
type factory struct {
	r        *rig
	things   map[string]bool
	steps    []string
	fail     map[string]*alwayson.Response // by service, for the first call
	failWith map[string]error
}

func newFactory(r *rig) *factory {
	f := &factory{r: r, things: map[string]bool{}, fail: map[string]*alwayson.Response{}, failWith: map[string]error{}}
	r.platform.judge = f.judge
	return f
}

func (f *factory) judge(req *alwayson.Request) (*alwayson.Response, error) {
	if req.Name == "UpdateSubscribedPropertyValues" {
		if !f.things[req.Entity] {
			return alwayson.Fail(alwayson.NotFound, "no such thing"), nil
		}
		return nil, nil
	}
	f.steps = append(f.steps, req.Name)
	if err := f.failWith[req.Name]; err != nil {
		delete(f.failWith, req.Name)
		f.things["pump-1"] = true
		f.r.platform.model["pump-1"] = subs("temp")
		return nil, err
	}
	if resp := f.fail[req.Name]; resp != nil {
		return resp, nil
	}
	switch {
	case req.Name == "CreateThing":
		name := req.Params.Cell(0, "name").Text()
		if f.things[name] {
			return alwayson.Fail(alwayson.InternalServerError, "exists already"), nil
		}
		f.things[name] = true
		f.r.platform.model[name] = subs("temp")
	case !f.things[req.Entity]:
		return alwayson.Fail(alwayson.NotFound, "no such thing"), nil
	}
	return nil, nil
}

func provisioning(o *bridge.Options) { o.Provision.Enabled = true }

const provisioned = `{"properties":{"temp":"NUMBER"},"services":{"Reset":{}}}`

func TestProvisionCreatesWhatIsNotThere(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(f *factory)
		state string
		steps []string
		text  string
	}{
		{"created, defined and bound anew", func(*factory) {}, bridge.StateReady,
			[]string{"GetPropertySubscriptions", "CreateThing", "EnableThing", "RestartThing", "AddPropertyDefinition", "SetRemoteServiceBinding", "RestartThing"}, ""},
		{"a property that the template has is bound instead", func(f *factory) {
			f.fail["AddPropertyDefinition"] = alwayson.Fail(alwayson.InternalServerError, "exists")
		}, bridge.StateReady,
			[]string{"GetPropertySubscriptions", "CreateThing", "EnableThing", "RestartThing", "AddPropertyDefinition", "SetRemotePropertyBinding", "SetRemoteServiceBinding", "RestartThing"}, ""},
		{"a step that was carried out but not answered is repeated without harm", func(f *factory) {
			f.failWith["CreateThing"] = alwayson.ErrNoAnswer
		}, bridge.StateReady,
			[]string{"GetPropertySubscriptions", "CreateThing", "CreateThing", "EnableThing", "RestartThing", "AddPropertyDefinition", "SetRemoteServiceBinding", "RestartThing"}, ""},
		{"without the right it is tried once", func(f *factory) {
			f.fail["CreateThing"] = alwayson.Fail(alwayson.Forbidden, "no design-time permission")
		}, bridge.StateAbsent, []string{"GetPropertySubscriptions", "CreateThing"}, "no design-time permission"},
		{"a Thing that is there, but slow, is left alone", func(f *factory) { f.things["pump-1"] = true }, bridge.StateBound,
			[]string{"GetPropertySubscriptions"}, ""},
		{"a template that does not exist", func(f *factory) {
			f.fail["CreateThing"] = alwayson.Fail(alwayson.InternalServerError, "no such template")
		}, bridge.StateAbsent, []string{"GetPropertySubscriptions", "CreateThing", "EnableThing"}, "no such template"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, map[string][]alwayson.Subscription{}, func(r *rig) {
				f := newFactory(r)
				c.setup(f)
				r.retained(announce, provisioned)
				r.live(properties, `{"temp":1}`)
				time.Sleep(16 * time.Second)
				synctest.Wait()
				if len(f.things) > 0 && c.state == bridge.StateReady {
					r.platform.mu.Lock()
					r.platform.model["pump-1"] = subs("temp")
					r.platform.mu.Unlock()
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				r.mustState("pump-1", c.state)
				if !slices.Equal(f.steps, c.steps) {
					t.Errorf("steps are %q, want %q", f.steps, c.steps)
				}
				if c.state == bridge.StateReady {
					r.mustGot("pump-1.temp=1")
				}
				if d, _ := r.b.Thing("pump-1"); !strings.Contains(d.Provision, c.text) {
					t.Errorf("shown is %q, want %q", d.Provision, c.text)
				}
			}, provisioning)
		})
	}
}

func TestProvisionDeletedThingIsCreatedOnceMoreOnly(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{}, func(r *rig) {
		f := newFactory(r)
		r.retained(announce, provisioned)
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range 5 {
			delete(f.things, "pump-1")
			r.live(properties, `{"temp":`+num(i)+`}`)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		created := 0
		for _, s := range f.steps {
			if s == "CreateThing" {
				created++
			}
		}
		if created != 2 {
			t.Errorf("created %d times, want once and once more", created)
		}
		r.mustState("pump-1", bridge.StateAbsent)
		if d, _ := r.b.Thing("pump-1"); !strings.HasPrefix(d.Provision, "deleted on the platform") {
			t.Errorf("shown is %q", d.Provision)
		}
	}, provisioning)
}
