package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// trickling puts a stub in the place of a HAProxy's stats socket that answers a byte a second.
func trickling(ctx context.Context, _ *flood, target *lab.Proxy) (func() (string, error), error) {
	return replaceSocket(ctx, target.AdminSocket, func(conn net.Conn) { trickle(ctx, conn, []byte("0")) })
}

// endless puts one there that answers a table without end.
func endless(ctx context.Context, _ *flood, target *lab.Proxy) (func() (string, error), error) {
	text := "# table: t, type: integer, size:1, used:1\n" + strings.Repeat("0x1: key=1 use=0 exp=0 server_id=1\n", 1000)
	return replaceSocket(ctx, target.AdminSocket, func(conn net.Conn) {
		for ctx.Err() == nil {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	})
}

// replaceSocket listens where HAProxy did, until undone. HAProxy's own socket waits beside it.
func replaceSocket(ctx context.Context, path string, answer func(net.Conn)) (undo func() (string, error), err error) {
	aside := path + ".aside"
	if err := os.Rename(path, aside); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("take the place of HAProxy: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // HAProxy's is there by then
	var wg sync.WaitGroup
	var asked atomic.Int64
	go serveConns(ctx, l, &wg, func(conn net.Conn) {
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			asked.Add(1)
			answer(conn)
		}
	})
	return func() (string, error) {
		err := os.Rename(aside, path)
		_ = l.Close()
		return fmt.Sprintf("%d commands answered so", asked.Load()), err
	}, nil
}

func serveConns(ctx context.Context, l net.Listener, wg *sync.WaitGroup, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			serve(conn)
		})
	}
}

// trickle sends a text a byte a second, again and again.
func trickle(ctx context.Context, conn net.Conn, text []byte) {
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := conn.Write(text[i%len(text):][:1]); err != nil {
			return
		}
		sleep(ctx, time.Second)
	}
}

// stubPort is where a stub of a database listens on the database's host.
const stubPort = 3999

// database leads the daemon to a stub of the last node that trickles from its
// greeting on, or from its first result on.
func database(role string) func(context.Context, *flood, *lab.Proxy) (func() (string, error), error) {
	return func(ctx context.Context, f *flood, target *lab.Proxy) (func() (string, error), error) {
		db := f.DB[len(f.DB)-1]
		// Longer than the attack: it is ended with it.
		stub, err := db.Host.Start(lab.Spec{Name: "stub", Args: []string{f.self, "-role", role, "-to", db.IP, "-for", "10m"}})
		if err != nil {
			return nil, err
		}
		fault, err := f.Redirect(ctx, target, db.Host, lab.MySQLPort, stubPort)
		if err != nil {
			stub.Kill9()
			return nil, err
		}
		return func() (string, error) {
			stub.Kill9()
			connections, err := os.ReadFile(stub.Log)
			return fmt.Sprintf("%d connections answered so", bytes.Count(connections, []byte("\n"))),
				errors.Join(err, fault.Undo(context.WithoutCancel(ctx)))
		}, nil
	}
}

// greeting is MariaDB's, of a server without a password.
const greeting = "\x5a\x00\x00\x00\x0a5.5.5-10.11.19-MariaDB\x00\x01\x00\x00\x00abcdefgh\x00\xfe\xf7\x2d\x02\x00\xff\x81\x15" +
	"\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00abcdefghijkl\x00mysql_native_password\x00"

// serveDatabase is the stub.
func serveDatabase(ctx context.Context, ip, role string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(stubPort)))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var wg sync.WaitGroup
	serveConns(ctx, l, &wg, func(conn net.Conn) {
		fmt.Println(conn.RemoteAddr()) // counted
		if role == "greeting" {
			trickle(ctx, conn, []byte(greeting))
			return
		}
		buffer := make([]byte, 64<<10)
		_, _ = io.WriteString(conn, greeting)
		_, _ = conn.Read(buffer)                                              // the login
		_, _ = conn.Write([]byte{7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0})            // it is in
		_, _ = conn.Read(buffer)                                              // the query
		head := binary.LittleEndian.AppendUint16([]byte{3, 0, 0, 1, 0xfc}, 2) // two columns
		trickle(ctx, conn, append(head, make([]byte, 1<<10)...))
	})
	wg.Wait()
	return nil
}
