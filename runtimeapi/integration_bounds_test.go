package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxytech/client-native/v5/runtime"
)

// TestAgainstClientNative holds our reading of a real process against client-native's.
func TestAgainstClientNative(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		ctx := context.Background()
		p := start(t, binary)
		client := p.client(t, "admin.sock")
		var reference runtime.SingleRuntime
		if err := reference.Init(p.admin(), 0, 0); err != nil {
			t.Fatal(err)
		}
		theirs, err := reference.GetServersState("galera-nodes")
		if err != nil {
			t.Fatal(err)
		}
		ours, err := client.serversState(ctx, "galera-nodes")
		if err != nil || len(ours) != len(theirs) {
			t.Fatalf("%d and %d servers, %v", len(ours), len(theirs), err)
		}
		for i, their := range theirs {
			our := ours[i]
			if our.Name != their.Name || our.Addr != their.Address || mode(our.Admin) != their.AdminState ||
				int64(our.Port) != *their.Port || our.Sticks() != (their.OperationalState != "down") {
				t.Errorf("ours %+v, theirs %+v", our, their)
			}
		}
		tables, err := client.Tables(ctx)
		if err != nil {
			t.Fatal(err)
		}
		theirTables, err := reference.ShowTables()
		if err != nil || len(tables) != len(theirTables) {
			t.Fatalf("%d and %d tables, %v", len(tables), len(theirTables), err)
		}
		for i, their := range theirTables {
			if our := tables[i]; our.Name != their.Name || our.Type != their.Type || int64(our.Size) != *their.Size {
				t.Errorf("ours %+v, theirs %+v", our, their)
			}
		}
		info, err := client.info(ctx)
		if their := reference.GetInfo(); err != nil || their.Error != "" || int64(info.Pid) != *their.Info.Pid ||
			info.Version != their.Info.Version {
			t.Errorf("ours %+v, theirs %+v, %v", info, their, err)
		}
	})
}

func TestTheEleventhConnection(t *testing.T) {
	eachBinary(t, func(t *testing.T, binary string) {
		p := start(t, binary)
		client, err := New(Config{Socket: p.admin(), Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var held []net.Conn
		for range 10 {
			conn, err := net.Dial("unix", p.admin())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Half a line: HAProxy has accepted it when it reads.
			if _, err := io.WriteString(conn, "show "); err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		began := time.Now()
		if _, err := client.info(context.Background()); !errors.Is(err, ErrTimeout) {
			t.Errorf("the eleventh: %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, conn := range held {
			conn.Close()
		}
		eventually(t, func() (bool, string) {
			_, err := client.info(context.Background())
			return err == nil, "it does not recover"
		})
	})
}

// TestAProcessThatStops freezes HAProxy, lets it go on, kills it and starts another.
func TestAProcessThatStops(t *testing.T) {
	ctx := context.Background()
	binary := installed(t)
	p := start(t, binary)
	client, err := New(Config{Socket: p.admin(), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	before, err := client.info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		err := client.SetTable(ctx, "galera-nodes", "1", 1)
		return errors.Is(err, ErrTimeout), "a frozen process answers"
	})
	// Its queue is finite: what does not fit is refused at once.
	eventually(t, func() (bool, string) {
		conn, err := net.Dial("unix", p.admin())
		if err != nil {
			return true, ""
		}
		t.Cleanup(func() { conn.Close() })
		return false, "the queue has no end"
	})
	if _, err := client.info(ctx); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "queue is full") {
		t.Errorf("a full queue: %v", err)
	}
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		_, err := client.info(ctx)
		return errors.Is(err, ErrUnreachable) && errors.Is(err, syscall.ECONNREFUSED), "a dead process answers"
	})
	old := p.Dir
	p.startAgain(t, binary)
	if err := os.Rename(p.admin(), filepath.Join(old, "admin.sock")); err != nil {
		t.Fatal(err)
	}
	after, err := client.info(ctx)
	if err != nil || after.Pid == before.Pid {
		t.Errorf("after the restart: %+v, %v", after, err)
	}
}
