package host

import (
	"errors"
	"testing"
	"testing/fstest"
)

// The least room of all groups from the process's own up to what is mounted counts, the cache of files as free; both
// versions, and a container that sees its group as the root.
func TestGroupRoom(t *testing.T) {
	for name, c := range map[string]struct {
		groups, mounts string
		files          map[string]string
		want           uint64 // 0: not known
	}{
		"version 2, the parent's limit": {"0::/a/b\n", "35 31 0:32 / /cg rw - cgroup2 cgroup2 rw\n",
			map[string]string{"/cg/a/b/memory.max": "max\n", "/cg/a/memory.max": "1000\n", "/cg/a/memory.current": "700\n",
				"/cg/a/memory.stat": "anon 1\ninactive_file 200\n"}, 500},
		"version 2, high below max": {"0::/a\n", "35 31 0:32 / /cg rw - cgroup2 cgroup2 rw\n",
			map[string]string{"/cg/a/memory.max": "1000\n", "/cg/a/memory.high": "400\n", "/cg/a/memory.current": "100\n"}, 300},
		"version 1": {"4:cpu,memory:/x\n0::/\n", "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n",
			map[string]string{"/m/x/memory.limit_in_bytes": "800\n", "/m/x/memory.usage_in_bytes": "300\n",
				"/m/memory.limit_in_bytes": "9223372036854771712\n"}, 500},
		"version 1 in a container": {"4:memory:/docker/1\n", "35 31 0:32 /docker/1 /m rw - cgroup cgroup rw,memory\n",
			map[string]string{"/m/memory.limit_in_bytes": "800\n", "/m/memory.usage_in_bytes": "900\n"}, 0},
		"no limit": {"0::/a\n", "35 31 0:32 / /cg rw - cgroup2 cgroup2 rw\n", map[string]string{"/cg/a/memory.max": "max\n"},
			0},
		"nothing": {"", "", nil, 0},
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(c.groups)}, "proc/self/mountinfo": {Data: []byte(c.mounts)}}
		for path, text := range c.files {
			root[path[1:]] = &fstest.MapFile{Data: []byte(text)}
		}
		r := groupRoom(root)
		if r.Bytes != c.want || r.Known != (c.want > 0 || name == "version 1 in a container") {
			t.Errorf("%s: %+v, want %d", name, r, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	var large *TooLarge
	if err := Check("all of it", 1<<62); !errors.As(err, &large) || large.Need != 1<<62 {
		t.Errorf("%v", err)
	}
	if err := Check("a megabyte", 1<<20); err != nil {
		t.Error(err)
	}
	if Times(1<<40, 1<<40) != 1<<64-1 || Times(3, 0, 5) != 0 || Times(-1) != 1<<64-1 || Plus(1<<63, 1<<63) != 1<<64-1 {
		t.Error("sizes wrap around")
	}
}
