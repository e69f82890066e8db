package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// handleCheck is this member's word on one address, for an external check.
func (s *Server) handleCheck(w http.ResponseWriter, r *http.Request) {
	address := r.URL.Query().Get("address")
	if _, _, err := net.SplitHostPort(address); err != nil {
		writeError(w, &api.Error{Code: api.CodeBadRequest, Message: fmt.Sprintf("address %q: give ADDR:PORT", address)})
		return
	}
	c, err := s.asked().check(address)
	if err != nil {
		writeError(w, &api.Error{Code: api.CodeNotFound, Message: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, c)
}

// check says what this member's probe finds of the node at an address. HAProxy gives its
// check the address that it has resolved, never the name that haproxy.cfg may have.
func (a *answer) check(address string) (api.Check, error) {
	if a.Own == nil || a.Topology == nil {
		return api.Check{}, errors.New("the daemon has not looked yet")
	}
	name := ""
	for _, b := range a.Topology.Backends {
		for _, s := range b.Servers {
			if name == "" && s.Address() == address {
				name = s.Name
			}
		}
	}
	if at, err := netip.ParseAddrPort(address); err == nil && name == "" {
		name = a.Look.Addresses[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())]
	}
	switch {
	case name == "":
		return api.Check{}, fmt.Errorf("no server of haproxy.cfg has the address %s, as it stands there or as HAProxy has resolved it", address)
	case !a.Probing:
		// The votes are HAProxy's own checks then, and this is asked by one of them.
		return api.Check{Node: name, Verdict: string(model.Unknown), Reason: "this daemon does not probe (--probe-user)"}, nil
	}
	n := a.Own.Node(name)
	return api.Check{Node: name, Usable: n.Verdict == model.Healthy, Verdict: string(n.Verdict), Reason: n.Reason}, nil
}
