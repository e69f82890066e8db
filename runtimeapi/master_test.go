package runtimeapi

import (
	"testing"
	"time"
)

func TestParseProc(t *testing.T) {
	const head = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
	tests := []struct {
		name, text string
		want       Worker
		fails      bool
	}{
		{name: "2.6", text: head + "10683           master          1 [failed: 0]   0d00h00m02s     2.6.12-1+deb12u4\n# workers\n10709           worker          0               1d02h03m04s     2.6.12-1+deb12u4\n# programs\n\n",
			want: Worker{Pid: 10709, Uptime: 26*time.Hour + 3*time.Minute + 4*time.Second}},
		{name: "old workers do not count", text: head + "1               master          3 [failed: 0]   0d00h00m09s     2.6\n# workers\n7               worker          0               0d00h00m01s     2.6\n# old workers\n5               worker          1               0d00h00m09s     2.6\n# programs\n\n",
			want: Worker{Pid: 7, Uptime: time.Second}},
		{name: "a reload that failed", text: head + "1               master          2 [failed: 1]   0d00h00m09s     2.6\n# workers\n# old workers\n5               worker          1               0d00h00m09s     2.6\n# programs\n\n",
			want: Worker{Failed: 1}},
		{name: "2.4, with relative pids", text: "#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version>\n1               master          0               0               0d00h01m00s     2.4\n# workers\n8               worker          1               0               0d00h01m00s     2.4\n",
			want: Worker{Pid: 8, Uptime: time.Minute}},
		{name: "another socket", text: "Unknown command: 'show proc'\n", fails: true},
		{name: "nothing", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseProc(tt.text)
			if (err != nil) != tt.fails || err == nil && got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}
