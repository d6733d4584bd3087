package host

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// Room is the memory that this process can still take, in bytes, and what limits it.
type Room struct {
	Bytes uint64
	Known bool   // false: the system does not tell, nothing is refused
	Limit string // "this machine has", "the control group allows", …: what Bytes is the rest of
}

// String reads as the end of a sentence: "3.2 GB are left of …".
func (r Room) String() string {
	if !r.Known {
		return "it is not known what there is"
	}
	return fmt.Sprintf("%s is free of %s", Size(r.Bytes), r.Limit)
}

// Mend is what the user can do about work that does not fit: smaller, unless nothing at all fits.
func (r Room) Mend(smaller string) string {
	if r.Known && r.Bytes == 0 {
		return "raise the limit, or give fewer --threads: the program takes all of it"
	}
	return smaller
}

// least is the room that is smaller; one that is not known limits nothing.
func (r Room) least(o Room) Room {
	if !r.Known || o.Known && o.Bytes < r.Bytes {
		return o
	}
	return r
}

// Free is the least of what the machine, the control group and the limit on address space leave to this process at this
// moment. What the process holds already is not in it. Memory that the system can get back at once (the cache of files)
// counts as free, swap too: what fits only with it is slow, but is not ended.
//
// It is the room for a computation: what its first matrix product reserves is not free (see addressRoom).
func Free() Room { return free(!settled.Load()) }

func free(computing bool) Room {
	return machineRoom().least(groupRoom(os.DirFS("/"))).least(addressRoom(computing))
}

// machineRoom is what the machine has left. Other systems than Linux say what is idle, not what they can get back:
// there only what exceeds the whole machine is refused.
func machineRoom() Room {
	m, err := mem.VirtualMemory()
	if err != nil || m.Total == 0 {
		return Room{}
	}
	r := Room{Bytes: m.Total, Known: true, Limit: "this machine's " + Size(m.Total)}
	if runtime.GOOS == "linux" {
		r.Bytes = m.Available + m.SwapFree
	}
	return r
}

// unlimited is above any limit that is one: control groups of version 1 say "none" as the largest multiple of a page.
const unlimited = 1 << 62

// blasBuffer is the address space that OpenBLAS takes for each thread that multiplies, most of which is never touched.
// threadBytes is a thread's stack. runtimeBytes is what Go reserves beyond its heap: arenas are of 64 MB.
const (
	blasBuffer   = 128 << 20
	threadBytes  = 8 << 20
	runtimeBytes = 64 << 20
)

// addressRoom is what RLIMIT_AS (ulimit -v) leaves. It counts what is reserved, not what is used: a program of Go
// starts with hundreds of megabytes of that. If a computation is still to begin, threads and OpenBLAS's buffers are to
// come too. Systems other than Linux do not hold processes to it.
func addressRoom(computing bool) Room {
	limits, _ := self.Rlimit() // none where it is not known
	i := slices.IndexFunc(limits, func(l process.RlimitStat) bool { return l.Resource == process.RLIMIT_AS })
	if i < 0 || limits[i].Soft >= unlimited {
		return Room{}
	}
	limit := limits[i].Soft
	taken := uint64(runtimeBytes)
	if m, err := self.MemoryInfo(); err == nil {
		taken += m.VMS
	}
	if computing {
		taken += uint64(runtime.GOMAXPROCS(0)) * (blasBuffer + threadBytes)
	}
	return Room{Bytes: limit - min(limit, taken), Known: true,
		Limit: "the limit of " + Size(limit) + " on address space (ulimit -v)"}
}

// groupRoom is what Linux's control groups that the process is in leave, all those above them included.
func groupRoom(root fs.FS) Room {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // none: no limit
	room := Room{}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		v2 := parts[0] == "0" && parts[1] == ""
		if !v2 && !hasWord(parts[1], "memory") {
			continue
		}
		mounted, at := memoryMount(root, v2)
		if at == "" {
			continue
		}
		// What is mounted can begin below the root of all groups, as in a container.
		dir := parts[2]
		if rest, below := strings.CutPrefix(dir, mounted); below && mounted != "/" {
			dir = rest
		} else if mounted != "/" {
			dir = "/"
		}
		for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
			room = room.least(groupLevel(root, path.Join(at, dir), v2))
			if dir == "/" {
				break
			}
		}
	}
	return room
}

// memoryMount is where the memory controller is mounted, and which group is there.
func memoryMount(root fs.FS, v2 bool) (mounted, at string) {
	mounts, _ := fs.ReadFile(root, "proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		left, right, found := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !found || len(l) < 5 || len(r) < 3 {
			continue
		}
		if v2 && r[0] == "cgroup2" || !v2 && r[0] == "cgroup" && hasWord(r[2], "memory") {
			return l[3], l[4]
		}
	}
	return "", ""
}

// hasWord says whether a list with commas has a word.
func hasWord(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }

// groupLevel is the room that one group leaves. The cache of files that it holds is given back when memory is wanted.
func groupLevel(root fs.FS, dir string, v2 bool) Room {
	limits, usage, cache := []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_inactive_file "
	if v2 {
		limits, usage, cache = []string{"memory.max", "memory.high"}, "memory.current", "inactive_file "
	}
	room := Room{}
	for _, name := range limits {
		limit, ok := number(root, path.Join(dir, name), "")
		if !ok || limit >= unlimited {
			continue
		}
		used, _ := number(root, path.Join(dir, usage), "")            // 0: then the limit itself is the room
		idle, _ := number(root, path.Join(dir, "memory.stat"), cache) // 0: nothing is given back
		used -= min(used, idle)
		room = room.least(Room{Bytes: limit - min(limit, used), Known: true, Limit: "the control group's limit of " +
			Size(limit) + " (" + path.Join(dir, name) + ")"})
	}
	return room
}

// number is what stands behind a name at the beginning of a line in one of the kernel's files.
func number(root fs.FS, file, name string) (uint64, bool) {
	text, _ := fs.ReadFile(root, strings.TrimPrefix(file, "/"))
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, " kB\n")), 10, 64)
			return n, err == nil // "max" is none
		}
	}
	return 0, false
}
