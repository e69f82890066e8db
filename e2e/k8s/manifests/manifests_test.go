package manifests

import (
	"strings"
	"testing"
)

// Every base and overlay decodes and obeys every rule.
func TestManifests(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			s := build(t, b.dir, b.overlay)
			for _, r := range allRules() {
				for _, problem := range r.check(s) {
					t.Errorf("%s: %s", r.name, problem)
				}
			}
		})
	}
}

func allRules() []projectRule { return append(append([]projectRule{}, podRules...), referenceRules...) }

// A field that Kubernetes does not know, or that stands in the wrong place, is noticed.
func TestStrictDecode(t *testing.T) {
	s := build(t, builds[2].dir, true)
	for key, change := range map[string][2]string{
		"StatefulSet/haproxy":         {"podManagementPolicy:", "podManagmentPolicy:"},
		"Service/haproxy-peers":       {"publishNotReadyAddresses:", "publishNotReadyAdresses:"},
		"PodDisruptionBudget/haproxy": {"  maxUnavailable:", "  maxUnavalable:"},
		"NetworkPolicy/haproxy":       {"policyTypes:", "policyType:"},
	} {
		text := string(s.manifest[key])
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s has no %q", key, change[0])
		}
		if err := (&set{manifest: map[string][]byte{}}).add([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%s with %q was decoded", key, change[1])
		}
	}
	if err := (&set{manifest: map[string][]byte{}}).add([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")); err == nil {
		t.Error("a kind that nobody expects was decoded")
	}
}
