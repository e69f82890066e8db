package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	farLink = "far0"
	// farPackets is how many packets may be on their way.
	farPackets = 1 << 16
)

// Far makes every packet that a host sends to some others arrive later, as if they were that far away; the way back is as it
// was. It stands in for tc's netem, which not every kernel has: the host's routes lead into a device that this process
// reads, and the packets leave by the host's own link.
func (l *Lab) Far(ctx context.Context, h *Host, later time.Duration, others ...*Host) (*Fault, error) {
	var device *os.File
	var out int
	err := h.Do(func() (err error) {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(farLink)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			_ = unix.Close(fd)
			return err
		}
		device = os.NewFile(uintptr(fd), farLink)
		if out, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		return unix.BindToDevice(out, hostLink)
	})
	if err != nil {
		return nil, fmt.Errorf("put %s far away: %w", h.Name, err)
	}
	packets := make(chan farPacket, farPackets)
	go deliverFar(packets, out)
	go readFar(device, packets, later)
	undo := func(context.Context) error { return device.Close() } // with it the link goes, and its routes
	ns := h.Namespace()
	err = ip("-n", ns, "link", "set", farLink, "up", "mtu", "1500")
	for _, o := range others {
		if err == nil {
			err = ip("-n", ns, "route", "replace", o.IP+"/32", "dev", farLink, "src", h.IP)
		}
	}
	if err != nil {
		_ = undo(ctx)
		return nil, fmt.Errorf("put %s far away: %w", h.Name, err)
	}
	return l.remember(&Fault{what: h.Name + " is far away", undo: undo}), nil
}

type farPacket struct {
	due  time.Time
	data []byte
}

func readFar(device *os.File, packets chan<- farPacket, later time.Duration) {
	defer close(packets)
	for {
		b := make([]byte, 2048)
		n, err := device.Read(b)
		if err != nil {
			return // it was closed
		}
		if n < 20 || b[0]>>4 != 4 {
			continue
		}
		packets <- farPacket{time.Now().Add(later), b[:n]}
	}
}

func deliverFar(packets <-chan farPacket, out int) {
	defer func() { _ = unix.Close(out) }()
	for p := range packets {
		time.Sleep(time.Until(p.due))
		to := &unix.SockaddrInet4{}
		binary.BigEndian.PutUint32(to.Addr[:], binary.BigEndian.Uint32(p.data[16:20]))
		_ = unix.Sendto(out, p.data, 0, to) // what is lost is lost
	}
}
