package simulator

import "net/http"

// restImport serves the upload of an entity export.
func (p *Platform) restImport(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "import of entities", http.StatusNotImplemented)
}
