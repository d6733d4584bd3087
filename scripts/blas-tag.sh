#!/bin/sh
# Prints the build tag of the fastest matrix-product library this machine can
# link: "accelerate" on macOS, "openblas" where a small program that calls
# OpenBLAS compiles and links, nothing (pure Go) otherwise.
#
# Compiler and flags are those the go command uses, so an OpenBLAS in an unusual
# place is found with CGO_LDFLAGS="-L/its/lib -Wl,-rpath,/its/lib".
set -eu

[ "$(go env CGO_ENABLED)" = 1 ] || exit 0

dir=$(mktemp -d "${TMPDIR:-/tmp}/blas-tag.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# links LIBRARY-FLAG... <PROGRAM: can the program on standard input be linked?
links() {
	# Unquoted: these variables hold several words.
	# shellcheck disable=SC2046
	$(go env CC) -x c $(go env CGO_CFLAGS) -o "$dir/probe" - $(go env CGO_LDFLAGS) "$@" >/dev/null 2>&1
}

if [ "$(go env GOOS)" = darwin ]; then
	if echo 'void cblas_sgemm(void); int main(void) { cblas_sgemm(); return 0; }' |
		links -framework Accelerate; then
		echo accelerate
	fi
	exit 0
fi

if echo 'void openblas_set_num_threads(int); void cblas_sgemm(void);
int main(int argc, char **argv) { (void)argv; openblas_set_num_threads(1); if (argc > 9) cblas_sgemm(); return 0; }' |
	links -lopenblas; then
	echo openblas
fi
