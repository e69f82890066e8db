package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	a := &app{
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		getenv:   os.Getenv,
		now:      time.Now,
		terminal: term.IsTerminal(int(os.Stdout.Fd())),
		progress: term.IsTerminal(int(os.Stderr.Fd())),
		asks:     term.IsTerminal(int(os.Stdin.Fd())),
		size:     terminalSize,
	}
	os.Exit(a.main(os.Args[1:]))
}

// main runs one command line as the process does, and returns the exit status.
func (a *app) main(args []string) int {
	if code, done := a.runCheck(context.Background(), args); done {
		return code
	}
	ctx, again := interrupts()
	a.again = again
	return a.run(ctx, args)
}

// interrupts returns a context that the first Ctrl-C or SIGTERM ends, and a channel
// that the second one closes: a move is rolled back at the first, and left alone at
// the second.
func interrupts() (context.Context, <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, again := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		close(again)
	}()
	return ctx, again
}

// terminalSize is the size of the terminal behind stdout or, where that is none,
// stderr; zero where there is none.
func terminalSize() (columns, rows int) {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
			return columns, rows
		}
	}
	return 0, 0
}

// app is what the commands need of the world outside.
type app struct {
	stdin          io.Reader // nil is the process's own
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	terminal       bool // stdout is a terminal: colour, redrawing
	progress       bool // stderr is a terminal: a progress line while waiting
	asks           bool // stdin is a terminal: somebody can answer a question
	// size is that of the terminal in columns and rows; nil or 0 where it is not known.
	size func() (columns, rows int)
	// again is closed at the second interrupt; the first ends the context.
	again <-chan struct{}

	way    way    // to the daemon
	format format // -o
	plugin bool   // --check: every error is UNKNOWN, on stdout
	reason string // --reason
}

// Exit status of haproxyctl, a fixed interface.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitTimeout = 3
)

// exitError is an error of a command that ran, with its exit status. Errors that
// are not one come from cobra's parsing, and are the caller's usage.
type exitError struct {
	code  int
	error // nil: everything was said already
}

// usagef is a usage error that only a running command can find.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run executes one command line and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	a.plugin = plugin(root, args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	return a.failed(err, cmd.CommandPath())
}

// failed says in one line what went wrong with the command at path, and returns the
// exit status.
func (a *app) failed(err error, path string) int {
	exit, ok := errors.AsType[*exitError](err)
	if !ok {
		exit = &exitError{exitUsage, err}
	}
	if exit.error == nil {
		return exit.code
	}
	text := oneLine(exit.Error())
	if a.plugin {
		fmt.Fprintf(a.stdout, "%s - %s\n", stateWord(""), pluginText(text))
		return pluginUnknown
	}
	if exit.code == exitUsage {
		text += fmt.Sprintf(" (see `%s --help`)", path)
	}
	fmt.Fprintf(a.stderr, "haproxyctl: %s\n", text)
	return exit.code
}

// oneLine joins the lines of a message, so that an error stays one line in logs.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
