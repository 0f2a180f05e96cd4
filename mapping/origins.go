package mapping

import "maps"

// origins tell of property names that rules compute what each was made of (the
// rule's `from`), so that two that make the same name do not become one property.

// foreignName gives what made the name first, where that is something else.
func (st *deviceState) foreignName(name, origin string) (other string, foreign bool) {
	if origin == "" {
		return "", false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	other, known := st.origins[name]
	return other, known && other != origin
}

// claimName notes what made a name first. The names are bounded where their types
// are noted.
func (st *deviceState) claimName(name, origin string) {
	if origin == "" {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, known := st.origins[name]; known {
		return
	}
	if st.origins == nil {
		st.origins = map[string]string{}
	}
	st.origins[name] = origin
}

func (st *deviceState) savedOrigins() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.origins)
}
