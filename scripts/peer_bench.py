#!/usr/bin/env python3
"""Time the reference implementation and synapnet-train side by side.

    scripts/peer_bench.py CLONE [--threads 2] [--repetitions 5] [--json FILE]

CLONE is a clone of https://github.com/vineetha00/SynapNet-Edge; its package is
imported as it is there. Measured, for the reference model (D 192, 6 blocks, 6
heads, 4,096 tokens, 64 classes, 32 slots, max_len 8192) on random ids:

  - train_step: forward, cross-entropy, backward, clipping to norm 1 and AdamW, at
    batch 4 and contexts 512 and 1024;
  - inference: forward without gradients, at batch 1 and context 4096.

Each figure is the median of the repetitions after one warm-up, in a process of
its own, so that the peak of its resident memory is its own too. PyTorch runs
eagerly, with --threads threads for its own loops and for its BLAS; synapnet-train
runs with GOMAXPROCS set to the same number.

An OpenBLAS older than the processor falls back to SSE kernels, which would make
PyTorch look several times slower than it has to be (synapnet-train corrects this
for itself). Where that happens, PyTorch gets the right kernels by
OPENBLAS_CORETYPE, and the table says so; --blas-as-detected leaves it alone.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time

MODEL = dict(dim=192, depth=6, heads=6, vocab_size=4096, max_len=8192, num_classes=64, episodic_slots=32,
             episodic_write_frac=0.05, k_frac=0.25, mlp_ratio=4.0, use_scale_bridge=True)
# (name, context, batch)
MEASUREMENTS = [("train_step", 512, 4), ("train_step", 1024, 4), ("inference", 4096, 1)]
PRE_AVX2 = {"katmai", "coppermine", "northwood", "prescott", "banias", "atom", "core2", "penryn", "dunnington",
            "nehalem", "sandybridge", "athlon", "opteron", "opteron_sse3", "barcelona", "bobcat", "bulldozer",
            "piledriver", "steamroller", "nano", "generic", "unknown"}


class BenchError(Exception):
    """What went wrong and how to mend it, in one line."""


# --- the worker: one measurement of the reference in this process ---------------


def worker(clone, name, context, batch, threads, repetitions):
    """Measure and return a result in the form of `synapnet-train bench --json`."""
    sys.path.insert(0, clone)
    import torch
    from synapnet_edge.models.synapnet_edge_model import SynapNetEdge, SynapNetEdgeConfig

    torch.set_num_threads(threads)
    torch.manual_seed(42)
    model = SynapNetEdge(SynapNetEdgeConfig(**MODEL))
    ids = torch.randint(5, MODEL["vocab_size"], (batch, context))
    labels = torch.randint(0, MODEL["num_classes"], (batch,))
    step = training_step(torch, model, ids, labels) if name == "train_step" else inference(torch, model, ids)
    step()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    return {
        "name": name, "context": context, "batch": batch, "seconds": seconds, "all_seconds": times,
        "tokens_per_second": batch * context / seconds, "peak_rss_bytes": peak_rss_bytes(),
        "torch": torch.__version__, "blas": loaded_blas(torch), "parameters": sum(p.numel() for p in model.parameters()),
    }


def training_step(torch, model, ids, labels):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids)[0], labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


def inference(torch, model, ids):
    model.eval()

    def step():
        with torch.no_grad():
            model(ids)
    return step


def peak_rss_bytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def loaded_blas(torch):
    """The matrix library that PyTorch uses, with OpenBLAS's kernels if it is that."""
    path = mapped_openblas()
    if path is not None:
        library = ctypes.CDLL(path)
        library.openblas_get_corename.restype = ctypes.c_char_p
        return "OpenBLAS " + library.openblas_get_corename().decode()
    if torch.backends.mkl.is_available():
        return "MKL"
    found = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return found.group(1) if found else "unknown"


def mapped_openblas():
    """The file of the OpenBLAS in this process, or None (Linux only)."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    except OSError:
        return None
    for path in sorted(paths):
        try:
            if hasattr(ctypes.CDLL(path), "openblas_get_corename"):
                return path
        except OSError:
            continue
    return None


# --- the parent: runs workers and synapnet-train, prints the table --------------


def run_worker(options, name, context, batch, coretype):
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), OPENBLAS_NUM_THREADS=str(options.threads),
                       MKL_NUM_THREADS=str(options.threads))
    if coretype:
        environment["OPENBLAS_CORETYPE"] = coretype
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), options.clone, "--threads", str(options.threads),
         "--repetitions", str(options.repetitions), "--worker", f"{name}:{context}:{batch}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BenchError(f"the reference could not be measured ({name}, context {context}): {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def better_coretype(options):
    """The OPENBLAS_CORETYPE that PyTorch's OpenBLAS needs, or None."""
    if options.blas_as_detected or "OPENBLAS_CORETYPE" in os.environ:
        return None
    probe = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); " \
            "import torch, peer_bench; torch.ones(2, 2) @ torch.ones(2, 2); print(peer_bench.loaded_blas(torch))"
    done = subprocess.run([sys.executable, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BenchError(f"{sys.executable} cannot run PyTorch: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    blas = done.stdout.split()
    if len(blas) != 2 or blas[0] != "OpenBLAS" or blas[1].lower() not in PRE_AVX2:
        return None
    flags = cpu_flags()
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma"} <= flags:
        return "SkylakeX"
    return "Haswell" if {"avx2", "fma"} <= flags else None


def busy_note():
    """A sentence if other work was running when the measurements began, or None."""
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if load < 0.25 * cpus:
        return None
    return (f"the load average was {load:.1f} on {cpus} CPUs before the start; other work slows both sides, "
            "and PyTorch's spinning threads most, so these figures are no comparison")


def cpu_info(key):
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.split(":")[0].strip() == key:
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux; the caller has an answer for that
    return ""


def cpu_flags():
    return set(cpu_info("flags").split())


def run_ours(options):
    """The parsed output of `synapnet-train bench --json`."""
    try:
        done = subprocess.run([options.binary, "bench", "--json"], env=dict(os.environ, GOMAXPROCS=str(options.threads)),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as e:
        raise BenchError(f"--binary {options.binary}: cannot be run: {e.strerror}; build it with 'make build'")
    if done.returncode != 0:
        raise BenchError(f"{options.binary} bench --json failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    try:
        report = json.loads(done.stdout)
        results = {(r["name"], r["context"], r["batch"]): r for r in report["results"]}
        missing = [m for m in MEASUREMENTS if m not in results]
        for m in MEASUREMENTS:
            if m in results:
                for key in ("seconds", "tokens_per_second", "peak_rss_bytes"):
                    float(results[m][key])
    except (ValueError, KeyError, TypeError) as e:
        raise BenchError(f"{options.binary} bench --json: output not understood: {type(e).__name__} {e}")
    if missing:
        raise BenchError(f"{options.binary} bench --json: no result for {missing[0]}; does the binary match this script?")
    return report, results


def table(reference, ours):
    """Lines of the comparison; ours may be None."""
    head = ("measurement", "context", "batch", "", "s", "tokens/s", "peak RSS MB", "speed", "memory")
    rows = [head]
    for m in MEASUREMENTS:
        ref = reference[m]
        rows.append((*map(str, m), "PyTorch", *cells(ref), "1.0x", "1.00x"))
        if ours is not None:
            our = ours[m]
            rows.append(("", "", "", "synapnet-train", *cells(our), f"{ref['seconds'] / our['seconds']:.1f}x",
                         f"{our['peak_rss_bytes'] / ref['peak_rss_bytes']:.2f}x"))
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    left = (0, 3)
    return ["  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip() for r in rows]


def cells(result):
    return (f"{result['seconds']:.3f}", f"{result['tokens_per_second']:,.0f}", f"{result['peak_rss_bytes'] / 1e6:,.0f}")


def compare(options):
    if not os.path.isdir(os.path.join(options.clone, "synapnet_edge")):
        raise BenchError(f"{options.clone}: has no folder synapnet_edge; "
                         "give the path of a clone of https://github.com/vineetha00/SynapNet-Edge")
    busy = busy_note()
    if busy:
        print(f"peer_bench: warning: {busy}", file=sys.stderr)
    coretype = better_coretype(options)
    reference = {}
    for m in MEASUREMENTS:
        print(f"measuring PyTorch: {m[0]}, context {m[1]}, batch {m[2]}", file=sys.stderr)
        reference[m] = run_worker(options, *m, coretype)
    report, ours = None, None
    if options.binary is not None:
        print("measuring synapnet-train", file=sys.stderr)
        report, ours = run_ours(options)

    first = reference[MEASUREMENTS[0]]
    blas = first["blas"]
    if coretype:
        blas += " kernels, set by this script: the library does not know the processor"
    print(f"machine: {cpu_info('model name') or platform.processor() or platform.machine()}, {options.threads} threads")
    print(f"PyTorch {first['torch']}, eager, {blas}; median of {options.repetitions}")
    if report is not None and "gflops_peak" in report:
        print(f"synapnet-train: {report['gflops_peak']:.0f} GFLOP/s sgemm measured")
    if busy:
        print(f"NOTE: {busy}")
    print("\n".join(table(reference, ours)))
    if options.json:
        write_json(options.json, {"reference": [reference[m] for m in MEASUREMENTS], "synapnet_train": report,
                                  "threads": options.threads, "openblas_coretype": coretype, "note": busy})


def write_json(path, value):
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w") as f:
            json.dump(value, f, indent=2)
            f.write("\n")
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as e:
        raise BenchError(f"--json {path}: cannot be written: {e.strerror}")


def positive(text):
    n = int(text)
    if n < 1:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; give a whole number from 1")
    return n


def main():
    p = argparse.ArgumentParser(description="Time the reference implementation (PyTorch) and synapnet-train side by side.")
    p.add_argument("clone", help="a clone of https://github.com/vineetha00/SynapNet-Edge")
    p.add_argument("--binary", help="synapnet-train; without it, only PyTorch is measured")
    p.add_argument("--threads", type=positive, default=2, help="threads of both (default 2)")
    p.add_argument("--repetitions", type=positive, default=5, help="timed repetitions of PyTorch (default 5)")
    p.add_argument("--json", help="also write all figures to this file")
    p.add_argument("--blas-as-detected", action="store_true", help="leave PyTorch the OpenBLAS kernels it detected")
    p.add_argument("--worker", help=argparse.SUPPRESS)
    options = p.parse_args()
    options.clone = os.path.abspath(options.clone)
    try:
        if options.worker:
            name, context, batch = options.worker.split(":")
            print(json.dumps(worker(options.clone, name, int(context), int(batch), options.threads, options.repetitions)))
        else:
            compare(options)
    except BenchError as e:
        print(f"peer_bench: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
