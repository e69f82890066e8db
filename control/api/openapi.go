package api

import _ "embed" // the description

// OpenAPI describes the half of the API that changes nothing (OpenAPI 3.0, YAML). It is made of this package's types and
// their comments: `go test ./control/api -run OpenAPI -update` writes it anew.
//
//go:embed openapi.yaml
var OpenAPI []byte
