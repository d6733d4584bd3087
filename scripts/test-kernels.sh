#!/usr/bin/env bash
# Runs the whole test suite, and `conform` on the golden files, on every set of
# kernels that this machine can run: the numbers differ in their last bits from one
# to the next, the verdicts must not.
#
#   scripts/test-kernels.sh              all but "detected", which is what `make test` runs
#   scripts/test-kernels.sh haswell go   these
#
# GOLDEN names the folder of golden files (default ../shared/reference/golden).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

GOLDEN=${GOLDEN:-../shared/reference/golden}
tags=$(scripts/blas-tag.sh)
bin=$(mktemp -d "${TMPDIR:-/tmp}/test-kernels.XXXXXX")
trap 'rm -rf "$bin"' EXIT

# cpu_has FLAG...: all of them, as Linux names them.
cpu_has() {
	local flag
	for flag; do grep -qw "$flag" /proc/cpuinfo 2>/dev/null || return 1; done
}

# suite NAME TAGS [VARIABLE=VALUE]...: tests and golden files. -count=1, because
# go's cache of results knows nothing of variables that a C library reads.
suite() {
	local name=$1 tags=$2 begin=$SECONDS
	shift 2
	printf '\n-- %s\n' "$name"
	env "$@" go test -count=1 -tags "$tags" ./...
	env "$@" go build -buildvcs=false -tags "$tags" -o "$bin/synapnet-train" ./cmd/synapnet-train
	if [ -d "$GOLDEN" ]; then
		env "$@" "$bin/synapnet-train" conform --quiet "$GOLDEN"/*.safetensors "$GOLDEN"/*.json
	else
		echo "skipped: golden files: no folder $GOLDEN"
	fi
	echo "-- $name: passed in $((SECONDS - begin)) s"
}

# coretype NAME FLAG...: OpenBLAS's kernels of that name, which crash on a
# processor without the instructions.
coretype() {
	local core=$1
	shift
	if [ "$tags" != openblas ]; then
		echo "-- skipped: OPENBLAS_CORETYPE=$core: this machine has no OpenBLAS"
	elif ! cpu_has "$@"; then
		echo "-- skipped: OPENBLAS_CORETYPE=$core: this processor lacks one of: $*"
	else
		suite "OPENBLAS_CORETYPE=$core" openblas "OPENBLAS_CORETYPE=$core"
	fi
}

[ $# -gt 0 ] || set -- haswell zen skylakex pure-go avx2 go
for kernels; do
	case $kernels in
	detected) suite "kernels as detected" "$tags" ;;
	haswell) coretype Haswell avx2 fma ;;
	zen) coretype Zen avx2 fma ;;
	skylakex) coretype SkylakeX avx2 fma avx512f avx512bw avx512cd avx512dq avx512vl ;;
	pure-go) suite "CGO_ENABLED=0" "" CGO_ENABLED=0 ;;
	avx2)
		if cpu_has avx2 fma; then
			suite "SYNAPNET_SIMD=avx2" "$tags" SYNAPNET_SIMD=avx2
		else
			echo "-- skipped: SYNAPNET_SIMD=avx2: this processor lacks avx2 or fma"
		fi
		;;
	go) suite "SYNAPNET_SIMD=go" "$tags" SYNAPNET_SIMD=go ;;
	*)
		echo "test-kernels: $kernels is not known; use detected, haswell, zen, skylakex, pure-go, avx2 or go" >&2
		exit 2
		;;
	esac
done
