#!/bin/sh
# Installs what a fast build needs and this machine lacks: a C compiler and, on
# Linux, OpenBLAS; then downloads the Go modules. Says each thing it does; does
# nothing about what is present. Debian/Ubuntu (apt-get), Fedora/RHEL (dnf) and
# macOS (brew, Xcode's command line tools) are known.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() {
	echo "setup: $*" >&2
	exit 1
}

# as_root COMMAND...: runs it as it is for root, through sudo for others.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		say "running: $*"
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		say "running: sudo $*"
		sudo "$@"
	else
		fail "cannot run '$*': you are not root and sudo is not installed; run it as root, or go on with 'make build' (pure Go, slower)"
	fi
}

# Package lists of a fresh machine are empty or stale, and mirrors are at times
# out of reach for some seconds.
apt_update() {
	for wait in 5 20 0; do
		as_root apt-get update && return
		[ "$wait" = 0 ] && break
		say "apt-get update failed, trying again in $wait s"
		sleep "$wait"
	done
	say "apt-get update failed three times; going on with the package lists at hand"
}

# install NAMES-FOR-APT NAMES-FOR-DNF: each may be several words.
# shellcheck disable=SC2086
install() {
	if command -v apt-get >/dev/null 2>&1; then
		apt_update
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1 ||
			fail "apt-get could not install $1; 'make build' still works without it (pure Go, slower)"
	elif command -v dnf >/dev/null 2>&1; then
		as_root dnf install -y $2 ||
			fail "dnf could not install $2; 'make build' still works without it (pure Go, slower)"
	else
		fail "found neither apt-get nor dnf; install the equivalent of Debian's package $1 yourself, or go on with 'make build' (pure Go, slower)"
	fi
}

command -v go >/dev/null 2>&1 ||
	fail "the go command is missing; install Go $(sed -n 's/^go //p' go.mod) or newer from https://go.dev/dl/"
say "Go: $(go version | cut -d' ' -f3-)"

# The first word: CC may carry flags.
have_compiler() { command -v "$(go env CC | cut -d' ' -f1)" >/dev/null 2>&1; }

if ! have_compiler; then
	if [ -n "${CC:-}" ]; then
		fail "the C compiler CC=$CC is not found; correct CC or unset it"
	fi
	if [ "$(uname -s)" = Darwin ]; then
		say "a C compiler is missing; running: xcode-select --install"
		xcode-select --install || fail "xcode-select could not install the command line tools"
		fail "finish the installation in the window that opened, then run 'make setup' again"
	fi
	say "a C compiler is missing; installing gcc"
	install "gcc libc6-dev" gcc
	have_compiler || fail "gcc is installed, but go still looks for $(go env CC); correct 'go env CC'"
fi
say "C compiler: $(go env CC)"

tag=$(scripts/blas-tag.sh)
if [ -z "$tag" ] && [ "$(go env CGO_ENABLED)" = 1 ]; then
	if [ "$(uname -s)" = Darwin ]; then
		fail "the Accelerate framework cannot be linked; run 'xcode-select --install'"
	fi
	say "OpenBLAS is missing; installing it"
	install libopenblas-dev openblas-devel
	tag=$(scripts/blas-tag.sh)
	[ -n "$tag" ] || fail "OpenBLAS is installed but a test program does not link with -lopenblas; set CGO_LDFLAGS=-L<its directory>"
fi
say "matrix products: ${tag:-pure Go, because CGO_ENABLED is 0}"

say "downloading the Go modules"
go mod download
say "done; go on with 'make build'"
