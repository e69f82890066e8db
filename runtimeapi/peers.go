package runtimeapi

import (
	"context"
	"strconv"
	"strings"
)

const peersCommand = "show peers"

// PeerState is one peer of one peers section as "show peers" knows it.
type PeerState struct {
	// Section is the name of the peers section, Name the peer's.
	Section, Name string
	// Local says that this process is the peer, Active that a session with it exists,
	// which may still be connecting.
	Local, Active bool
	// Addr is the peer's address and port.
	Addr string
	// LastStatus is HAProxy's code of the last session's state (statuscode in
	// src/peers.c): ESTA established, ACCP accepted, CONN connecting, HSHK in the
	// handshake, RECO to be reconnected, REFU refused, NAME unknown, NONE never tried,
	// and others.
	LastStatus string
	// NewConnections counts the attempts, ProtocolErrors the sessions ended by one.
	NewConnections, ProtocolErrors int
	// Tables are the stick-tables shared with this peer.
	Tables []PeerTable
}

// PeerTable is the progress of one table's updates to one peer.
type PeerTable struct {
	Name string
	// Update is the number of the table's newest update here, LastPushed the newest one
	// sent to the peer, LastAcked the newest one that it has confirmed, LastGet the
	// newest one received from it. They wrap at 2^32.
	Update, LastPushed, LastAcked, LastGet uint32
}

// Established reports whether updates can flow to and from the peer.
func (p PeerState) Established() bool {
	return p.Active && (p.LastStatus == "ESTA" || p.LastStatus == "ACCP")
}

// Peers returns the peers of all peers sections, the local one included.
func (c *Client) Peers(ctx context.Context) ([]PeerState, error) {
	answer, err := c.askMarked(ctx, peersCommand)
	if err != nil {
		return nil, err
	}
	return parsePeers(peersCommand, answer)
}

// parsePeers reads, indentation telling what belongs to what,
//
//	0x55d0: [22/Nov/2026:19:56:09] id=mypeers disabled=0 flags=0x33 resync_timeout=<PAST> task_calls=29
//	  0x55d1: id=px1(remote,inactive) addr=127.0.0.1:21021 last_status=CONN last_hdshk=4s
//	        reconnect=0s heartbeat=<NEVER> confirm=0 ... new_conn=12 proto_err=0 coll=0
//	        shared tables:
//	          0x55d2 local_id=1 remote_id=0 flags=0x0 remote_data=0x0
//	              last_acked=0 last_pushed=0 last_get=0 teaching_origin=0 update=0
//	              table:0x55d3 id=nodes update=5 localupdate=5 commitupdate=0 refcnt=1
//
// with an empty line between sections. Before 2.6 the second line is part of the first.
func parsePeers(command, answer string) ([]PeerState, error) {
	if answer != "" && !strings.HasPrefix(answer, "0x") {
		return nil, refusal(command, answer)
	}
	var peers []PeerState
	var pending PeerTable
	section := ""
	for rest := answer; rest != ""; {
		var line string
		line, rest = cutLine(rest)
		words := strings.TrimLeft(line, " ")
		indent := len(line) - len(words)
		switch {
		case words == "":
		case indent == 0:
			if section = valueOf(words, "id="); section == "" || !strings.HasPrefix(words, "0x") {
				return nil, malformed(command, "no peers section", line)
			}
		case section == "":
			return nil, malformed(command, "no peers section before it", line)
		case indent == 2:
			peer, ok := parsePeer(words)
			if !ok {
				return nil, malformed(command, "no peer", line)
			}
			peer.Section = section
			pending = PeerTable{}
			peers = append(peers, peer)
		case len(peers) == 0 || peers[len(peers)-1].Section != section:
			return nil, malformed(command, "no peer before it", line)
		default:
			if !peers[len(peers)-1].more(words, &pending) {
				return nil, malformed(command, "no number", line)
			}
		}
	}
	return peers, nil
}

func parsePeer(words string) (PeerState, bool) {
	pointer, words, ok := strings.Cut(words, ": id=")
	if !ok || !strings.HasPrefix(pointer, "0x") {
		return PeerState{}, false
	}
	id, words, _ := strings.Cut(words, " ")
	name, kind, ok := strings.Cut(id, "(")
	if !ok || name == "" || !strings.HasSuffix(kind, ")") {
		return PeerState{}, false
	}
	where, activity, _ := strings.Cut(strings.TrimSuffix(kind, ")"), ",")
	peer := PeerState{Name: name, Local: where == "local", Active: activity == "active"}
	var pending PeerTable
	return peer, peer.more(words, &pending)
}

// more reads the "name=value" words of a line that belongs to the peer. The numbers of a
// table come before its name.
func (p *PeerState) more(words string, pending *PeerTable) bool {
	ofTable := strings.HasPrefix(words, "table:")
	for words != "" {
		var word string
		word, words, _ = strings.Cut(words, " ")
		name, value, _ := strings.Cut(word, "=")
		number := func(to *uint32) bool {
			n, err := strconv.ParseUint(value, 10, 32)
			*to = uint32(n)
			return err == nil
		}
		ok := true
		var count uint32
		switch name {
		case "addr":
			// The first one: a connected peer has a line with the addresses of its
			// connection, too.
			if p.Addr == "" {
				p.Addr = value
			}
		case "last_status":
			p.LastStatus = value
		case "new_conn":
			ok = number(&count)
			p.NewConnections = int(count)
		case "proto_err":
			ok = number(&count)
			p.ProtocolErrors = int(count)
		case "last_acked":
			ok = number(&pending.LastAcked)
		case "last_pushed":
			ok = number(&pending.LastPushed)
		case "last_get":
			ok = number(&pending.LastGet)
		case "id":
			if ofTable {
				pending.Name = value
			}
		case "update":
			if ofTable {
				ok = number(&pending.Update)
			}
		}
		if !ok {
			return false
		}
	}
	if ofTable {
		p.Tables = append(p.Tables, *pending)
		*pending = PeerTable{}
	}
	return true
}
