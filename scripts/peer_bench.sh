#!/bin/sh
# Times the reference implementation (PyTorch) and synapnet-train on this machine,
# one after the other, and prints both side by side.
#
#   git clone https://github.com/vineetha00/SynapNet-Edge
#   scripts/peer_bench.sh SynapNet-Edge [options of peer_bench.py]
#
# The Python that has PyTorch is PYTHON (default: python3).
set -eu

if [ $# -lt 1 ]; then
	sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
	echo "peer_bench: $python has no PyTorch; install it (pip install torch), or set PYTHON to a Python that has it" >&2
	exit 1
fi
make -C "$root" build >&2
exec "$python" "$root/scripts/peer_bench.py" --binary "$root/bin/synapnet-train" "$@"
