package host

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SystemMemory reads /proc/meminfo.
func SystemMemory() Memory {
	f := kilobytes("/proc/meminfo")
	return Memory{Total: f["MemTotal"], Available: f["MemAvailable"]}
}

// kilobytes are the values in bytes of a file of lines such as "MemTotal: 8123456 kB"; those of other forms are left
// out.
func kilobytes(file string) map[string]uint64 {
	values := map[string]uint64{}
	text, err := os.ReadFile(file)
	if err != nil {
		return values // nothing is known
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if f := strings.Fields(value); len(f) == 2 && f[1] == "kB" {
			if n, err := strconv.ParseUint(f[0], 10, 54); err == nil {
				values[strings.TrimSpace(name)] = n << 10
			}
		}
	}
	return values
}

func machineRoom() Room {
	f := kilobytes("/proc/meminfo")
	available, known := f["MemAvailable"]
	return Room{Bytes: available + f["SwapFree"], Known: known, Limit: "this machine's " + Size(f["MemTotal"])}
}

// blasBuffer is the address space that OpenBLAS takes for each thread that multiplies, most of which is never touched.
// threadBytes is a thread's stack. runtimeBytes is what Go reserves beyond its heap: arenas are of 64 MB.
const (
	blasBuffer   = 128 << 20
	threadBytes  = 8 << 20
	runtimeBytes = 64 << 20
)

// addressRoom is what RLIMIT_AS (ulimit -v) leaves. It counts what is reserved, not what is used: a program of Go
// starts with hundreds of megabytes of that. If a computation is still to begin, threads and OpenBLAS's buffers are to
// come too.
func addressRoom(computing bool) Room {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil || limit.Cur >= 1<<62 {
		return Room{}
	}
	used := kilobytes("/proc/self/status")["VmSize"]
	coming := uint64(runtimeBytes)
	if computing {
		coming += uint64(runtime.GOMAXPROCS(0)) * (blasBuffer + threadBytes)
	}
	r := Room{Known: true, Limit: "the limit of " + Size(limit.Cur) + " on address space (ulimit -v)"}
	if limit.Cur > used+coming {
		r.Bytes = limit.Cur - used - coming
	}
	return r
}

// groupRoom is what the control groups that the process is in leave, all those above them included.
func groupRoom() Room {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Room{}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Room{}
	}
	return groupRoomOf(string(groups), string(mounts), os.ReadFile)
}

// groupRoomOf is groupRoom of the contents of /proc/self/cgroup and /proc/self/mountinfo.
func groupRoomOf(groups, mounts string, read func(string) ([]byte, error)) Room {
	room := Room{}
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		v2 := parts[0] == "0" && parts[1] == ""
		if !v2 && !strings.Contains(","+parts[1]+",", ",memory,") {
			continue
		}
		root, at := memoryMount(mounts, v2)
		if at == "" {
			continue
		}
		// What is mounted can begin below the root of all groups, as in a container.
		dir := parts[2]
		if rest, below := strings.CutPrefix(dir, root); below && root != "/" {
			dir = rest
		} else if root != "/" {
			dir = "/"
		}
		for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
			room = room.least(groupLevel(filepath.Join(at, dir), v2, read))
			if dir == "/" {
				break
			}
		}
	}
	return room
}

// memoryMount is where the memory controller is mounted, and which group is there.
func memoryMount(mounts string, v2 bool) (root, at string) {
	s := bufio.NewScanner(strings.NewReader(mounts))
	for s.Scan() {
		left, right, found := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !found || len(l) < 5 || len(r) < 3 {
			continue
		}
		if v2 && r[0] == "cgroup2" || !v2 && r[0] == "cgroup" && strings.Contains(","+r[2]+",", ",memory,") {
			return l[3], l[4]
		}
	}
	return "", ""
}

// unlimited is above any limit that is one: version 1 says "none" as the largest multiple of a page.
const unlimited = 1 << 62

// groupLevel is the room that one group leaves. The cache of files that it holds is given back when memory is wanted.
func groupLevel(dir string, v2 bool, read func(string) ([]byte, error)) Room {
	limits, usage, cache := []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_inactive_file"
	if v2 {
		limits, usage, cache = []string{"memory.max", "memory.high"}, "memory.current", "inactive_file"
	}
	room := Room{}
	for _, name := range limits {
		limit, ok := number(read, filepath.Join(dir, name))
		if !ok || limit >= unlimited {
			continue
		}
		used, _ := number(read, filepath.Join(dir, usage)) // 0: then the limit itself is the room
		used -= min(used, statistic(read, filepath.Join(dir, "memory.stat"), cache))
		room = room.least(Room{Bytes: limit - min(limit, used), Known: true, Limit: "the control group's limit of " +
			Size(limit) + " (" + filepath.Join(dir, name) + ")"})
	}
	return room
}

func number(read func(string) ([]byte, error), file string) (uint64, bool) {
	text, err := read(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil // "max" is none
}

func statistic(read func(string) ([]byte, error), file, name string) uint64 {
	text, err := read(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, _ := strconv.ParseUint(f[1], 10, 64) // 0: nothing is given back
			return n
		}
	}
	return 0
}
