package register

import (
	"log/slog"

	"go.etcd.io/raft/v3"
)

// quietLogger drops raft's log: the core has no logger, and what an operator
// must know is in Status. Panics stay panics, and end no process.
type quietLogger struct{ raft.DefaultLogger }

var quiet = &quietLogger{raft.DefaultLogger{Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}}

func (l *quietLogger) Fatal(v ...any)            { l.Panic(v...) }
func (l *quietLogger) Fatalf(f string, v ...any) { l.Panicf(f, v...) }
