package model

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// Kinds of orders that make no decision.
const (
	OrderExclude  = "exclude"
	OrderInclude  = "include"
	OrderFreeze   = "freeze"
	OrderUnfreeze = "unfreeze"
	OrderRemove   = "remove"  // a voter that never comes back
	OrderInit     = "init"    // the first record, with fewer than all initial voters
	OrderRecover  = "recover" // a new recovery generation
)

// Order tells of one order that changed no active: who gave it, where and why.
type Order struct {
	// Recovery and Revision are the record's with which it was written; together
	// they tell one order from another.
	Recovery uint64 `json:"recovery,omitempty"`
	Revision uint64 `json:"revision"`
	Kind     string `json:"kind"`
	// What is the node, the member or the voters that it is about, "" for none.
	What string `json:"what,omitempty"`
	// Reason is what the operator gave for it.
	Reason string `json:"reason,omitempty"`
	// OrderedBy is who gave it, By the member that took it.
	OrderedBy string    `json:"ordered_by,omitempty"`
	By        string    `json:"by"`
	At        time.Time `json:"at"` // by that member's clock: for people
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Words says it in one line, without who and why.
func (o *Order) Words() string {
	if o.What == "" {
		return o.Kind
	}
	return o.Kind + " " + o.What
}

// Said is who and why, for the end of a sentence.
func (o *Order) Said() string {
	s := ""
	if o.OrderedBy != "" {
		s = ", ordered by " + o.OrderedBy
	}
	if o.Reason != "" {
		s += ": " + o.Reason
	}
	return s
}

// WithOrder returns a copy in which o is the newest order; one of version 1, which
// keeps none, is as it was.
func (r *Record) WithOrder(o Order) *Record {
	c := r.Clone()
	if !r.Speaks(2) {
		return c
	}
	c.Orders = append([]Order{o}, c.Orders...)
	c.Orders = c.Orders[:min(len(c.Orders), MaxOrders)]
	return c
}
