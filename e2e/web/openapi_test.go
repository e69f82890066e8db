package web

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// description is the API's, by the specification's own rules.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDescription(t *testing.T) {
	if n := description(t).Paths.Len(); n < 10 {
		t.Errorf("it has %d paths", n)
	}
}

// What the daemons answer is what the description says, key by key, in the middle of a failover, too.
func TestAnswersAreAsDescribed(t *testing.T) {
	doc := description(t)
	// Whoever reads the API has to bear keys that it does not know. Here each must be described.
	none := false
	for _, schema := range doc.Components.Schemas {
		if schema.Value.AdditionalProperties.Schema == nil {
			schema.Value.AdditionalProperties.Has = &none
		}
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	a, err := s.Active(t.Context(), s.PX[0])
	if err != nil {
		t.Fatal(err)
	}
	node := s.Node(a.Active)
	check := func() {
		for _, p := range s.PX {
			for _, path := range doc.Paths.InMatchingOrder() {
				query := ""
				if path == api.PathCheck {
					query = "?" + url.Values{"address": {node.Address()}}.Encode()
				}
				conforms(t, router, p.Host.HTTPClient(), "http://127.0.0.1:9105"+path+query)
			}
		}
	}
	check()
	node.Kill9()
	lab.Sleep(t.Context(), 300*time.Millisecond)
	check()
	lab.Sleep(t.Context(), 3*time.Second)
	check()
}

// conforms asks for one answer and holds it against its description.
func conforms(t *testing.T, router routers.Router, client *http.Client, address string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s: %s", address, response.Status, body)
	}
	request.URL.Host, request.URL.Scheme = "", ""
	route, params, err := router.FindRoute(request)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, Route: route, PathParams: params},
		Status:                 response.StatusCode, Header: response.Header,
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input.SetBodyBytes(body)); err != nil {
		t.Errorf("%s: %v", address, err)
	}
}
