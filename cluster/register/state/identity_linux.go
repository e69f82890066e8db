package state

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// identity tells a file apart from every copy of its contents: the time at
// which it was created, which no copying tool can set (statx(2), STATX_BTIME;
// ext4, xfs, btrfs and overlayfs over them have it). 0 where the file system
// does not keep it: an inode number would do as long as it is stable, but where
// it is not (some FUSE and network mounts) every restart would cost the disk.
func identity(f *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// An old kernel, or a sandbox that does not let it through.
		return 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("statx", err)
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		return uint64(st.Btime.Sec)*1e9 + uint64(st.Btime.Nsec), nil
	}
	return 0, nil
}
