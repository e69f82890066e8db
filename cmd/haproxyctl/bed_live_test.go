package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// inNamespace is set where a test runs again in namespaces of its own, where the ports
// (and paths) of the rendered file are free; its value is what again was given.
const inNamespace = "HAPROXYCTL_TEST_IN_NAMESPACE"

// again runs the calling test in new namespaces (the flags of unshare), with value in
// inNamespace and a time of its own, and fails as it does.
func again(t *testing.T, namespaces, value string, within time.Duration) {
	t.Helper()
	cmd := exec.Command("unshare", namespaces, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", within.String())
	cmd.Env = append(os.Environ(), inNamespace+"="+value)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a program until the test ends, and shows what it said if that failed.
func start(t *testing.T, binary string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(binary)))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", binary, text[max(0, len(text)-6000):])
		}
	})
}

// greetAndEcho is a database node: it says its number and then what it is told.
func greetAndEcho(ln net.Listener, number int) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { fmt.Fprint(c, number); io.Copy(c, c); c.Close() }()
	}
}

// echo tells whether a session through the proxy goes on.
func echo(c net.Conn, within time.Duration) error {
	c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}
