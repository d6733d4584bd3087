#!/usr/bin/env python3
"""Turn a PyTorch checkpoint of the reference implementation into safetensors.

    scripts/pt2safetensors.py base_model_fp16.pt model.safetensors

The result is what `synapnet-train` loads. Needs PyTorch; the safetensors package
is not needed.

What is read: a plain state dict, or a dict that holds one under one of the keys
model_state, model_state_dict, state_dict, model.

What is written:
  - every parameter, in float32, under its name in the state dict;
  - not the buffers `slot_scales` (a scratch area of the INT8 memory, not part of
    the model) and `smooth_scale` where it is 1 everywhere (not calibrated);
  - a `smooth_scale` that is not 1 (SmoothQuant was applied: the layer's Q, K and V
    weights are scaled up and its input is to be multiplied by this tensor) is kept
    under its name, and the tool says so;
  - the model's configuration as JSON in the header's metadata, key "config".

The configuration comes from the checkpoint (key model_cfg). Where that is missing,
it is read off the shapes of the tensors; the number of heads leaves no trace in
them and has to be given with --heads, and so have --k-frac and
--episodic-write-frac if they are not the defaults of the reference.

Refused: checkpoints with quantised (integer) weights, NaN or infinite weights,
tensors that contradict the configuration; an output that is the checkpoint itself,
no regular file, or a file of another kind.
"""

import argparse
import ctypes
import errno
import json
import math
import os
import pickle
import re
import secrets
import stat
import struct
import sys
import types
import unicodedata
import unittest.mock

try:
    import fcntl
except ImportError:  # Windows, where nobody removes an open file
    fcntl = None

STATE_KEYS = ("model_state", "model_state_dict", "state_dict", "model")
# Beyond this number of tokens the reference's attention reads only the most
# salient ones. It is a constant of its code, so no checkpoint holds it.
SPARSE_THRESHOLD = 1024
INTEGERS = ("dim", "depth", "heads", "vocab_size", "max_len", "num_classes", "episodic_slots", "sparse_threshold")
NUMBERS = ("k_frac", "episodic_write_frac", "mlp_ratio")


class ConversionError(Exception):
    """What is wrong with the input and how to mend it, in one line."""


class ForeignObject(Exception):
    """A checkpoint holds something besides tensors and plain data."""


class TensorsOnly(pickle.Unpickler):
    """Unpickles tensors and plain data, and refuses everything else.

    A pickle names functions to call, so loading one of unknown origin can run any
    code. torch.load(weights_only=True) is meant for that, but in PyTorch 1.13 it
    refuses floating-point numbers, which the reference's checkpoints hold.
    """

    ALLOWED = {
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
    }

    def find_class(self, module, name):
        storage = module in ("torch", "torch.storage") and re.fullmatch(r"[A-Za-z0-9]*Storage", name)
        if not storage and (module, name) not in self.ALLOWED:
            raise ForeignObject(f"it holds a Python object of type {module}.{name}")
        return super().find_class(module, name)


def tensors_only_pickle():
    """The pickle module with TensorsOnly in the place of its Unpickler."""
    module = types.ModuleType("pickle")
    module.__dict__.update(vars(pickle))
    module.Unpickler = TensorsOnly
    module.load = lambda file, **options: TensorsOnly(file, **options).load()
    return module


def load(torch, path, trust):
    """The object that torch.save wrote to path, on the CPU."""
    try:
        if trust:
            return torch.load(path, map_location="cpu", weights_only=False)
        restricted = tensors_only_pickle()
        # PyTorch 1.13 takes the argument pickle_module and then uses its own import.
        with unittest.mock.patch.object(torch.serialization, "pickle", restricted):
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=restricted)
    except FileNotFoundError:
        raise ConversionError(f"{path}: no such file")
    except OSError as e:
        raise ConversionError(f"{path}: cannot be read: {e.strerror or e}")
    except ForeignObject as e:
        raise ConversionError(f"{path}: {e}, and loading it could run code; add --trust if you trust the file's origin")
    except Exception as e:  # torch raises many kinds on bad files
        raise ConversionError(f"{path}: not a checkpoint that PyTorch can load: {first_line(e)}")


def first_line(e):
    return (str(e).strip() or type(e).__name__).splitlines()[0]


def state_dict(torch, checkpoint, path):
    """The name -> tensor dict within a loaded checkpoint."""
    if isinstance(checkpoint, torch.nn.Module):
        return checkpoint.state_dict()
    if not isinstance(checkpoint, dict):
        raise ConversionError(
            f"{path}: holds a {type(checkpoint).__name__}; expected a state dict, or a dict with one of {', '.join(STATE_KEYS)}")
    found = checkpoint
    for key in STATE_KEYS:
        if isinstance(checkpoint.get(key), dict):
            found = checkpoint[key]
            break
    tensors = {k: v for k, v in found.items() if torch.is_tensor(v)}
    if not tensors:
        raise ConversionError(
            f"{path}: no tensors found; expected a state dict, or a dict with one of {', '.join(STATE_KEYS)}"
            f" (its keys: {', '.join(map(str, list(checkpoint)[:8]))})")
    others = [k for k in found if k not in tensors]
    if others:
        raise ConversionError(f"{path}: state dict entry {others[0]!r} is not a tensor; quantised modules cannot be converted")
    return tensors


def select(torch, state, path):
    """The float32 tensors to write, and the names of smooth_scale that are kept."""
    selected, smoothed = {}, []
    for name, tensor in state.items():
        if name.endswith("slot_scales"):
            continue
        if not tensor.is_floating_point():
            raise ConversionError(
                f"{path}: tensor {name} has type {tensor.dtype}; this is a quantised model, convert the checkpoint from before quantisation")
        tensor = tensor.detach().to(torch.float32).contiguous()
        if not bool(torch.isfinite(tensor).all()):
            raise ConversionError(f"{path}: tensor {name} holds NaN or infinity; the training that wrote it diverged, use an earlier checkpoint")
        if name.endswith("smooth_scale"):
            if bool((tensor == 1).all()):
                continue
            smoothed.append(name)
        selected[name] = tensor
    return selected, smoothed


def shape_of(state, name, path):
    if name not in state:
        raise ConversionError(f"{path}: tensor {name} is missing; not a checkpoint of a SynapNet-Edge model")
    return tuple(state[name].shape)


def from_shapes(state, path):
    """What the tensors say of the configuration."""
    vocab, dim = shape_of(state, "token_embed.weight", path)
    blocks = {int(m.group(1)) for m in (re.match(r"blocks\.(\d+)\.", n) for n in state) if m}
    if blocks != set(range(len(blocks))) or not blocks:
        raise ConversionError(f"{path}: blocks are not numbered from 0 without gaps: {sorted(blocks)}")
    classes = shape_of(state, "head.weight", path)[0]
    config = {
        "dim": dim,
        "depth": len(blocks),
        "vocab_size": vocab,
        "max_len": shape_of(state, "pos_embed", path)[1],
        "num_classes": 0 if classes == vocab else classes,  # 0: language-model head
        "use_scale_bridge": any(".scale_bridge." in n for n in state),
    }
    slots = next((t.numel() for n, t in state.items() if n.endswith("slot_scales")), None)
    if slots is not None:
        config["episodic_slots"] = slots
    hidden = feed_forward_width(state, dim)
    if hidden is not None:
        config["mlp_ratio"] = hidden / dim
    return config


def feed_forward_width(state, dim):
    """Rows of the first linear layer of block 0's feed-forward part, if found."""
    widths = [t.shape[0] for n, t in state.items()
              if re.match(r"blocks\.0\.ff\.\d+\.weight$", n) and t.dim() == 2 and t.shape[1] == dim]
    return widths[0] if len(widths) >= 1 else None


def configuration(checkpoint, state, options, path):
    """The model's configuration under the names that synapnet-train reads."""
    seen = from_shapes(state, path)
    stored = checkpoint.get("model_cfg") if isinstance(checkpoint, dict) else None
    if stored is not None and not isinstance(stored, dict):
        raise ConversionError(f"{path}: model_cfg is a {type(stored).__name__}; expected a dict")
    config = dict(seen)
    if stored is not None:
        config.update({k: v for k, v in stored.items() if k in INTEGERS + NUMBERS + ("use_scale_bridge",)})
        if config["num_classes"] is None:
            config["num_classes"] = 0
    config.setdefault("k_frac", 0.25)
    config.setdefault("episodic_write_frac", 0.05)
    config.setdefault("sparse_threshold", SPARSE_THRESHOLD)
    for key in ("heads", "k_frac", "episodic_write_frac", "episodic_slots"):
        given = getattr(options, key)
        if given is None:
            continue
        if stored is not None and key in stored and stored[key] != given:
            raise ConversionError(f"--{key.replace('_', '-')} is {given}, but the checkpoint says {stored[key]}; leave the flag out")
        config[key] = given
    check(config, seen, path)
    return config


def check(config, seen, path):
    for key in INTEGERS + NUMBERS:
        if key not in config:
            raise ConversionError(f"{path}: the checkpoint does not say {key}; give it with --{key.replace('_', '-')}")
        value = config[key]
        kind = int if key in INTEGERS else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            raise ConversionError(f"{path}: {key} is {value!r}; expected a number")
    for key, value in seen.items():
        if config[key] != value and not (key == "mlp_ratio" and int(config["dim"] * config[key]) == int(config["dim"] * value)):
            raise ConversionError(f"{path}: the configuration says {key} {config[key]}, the tensors say {value}")
    if config["heads"] < 1 or config["dim"] % config["heads"] != 0:
        raise ConversionError(f"{path}: heads is {config['heads']}; it must divide dim ({config['dim']})")


def encode_header(tensors, metadata):
    """The safetensors header for tensors in the order of their names."""
    header, offset = {"__metadata__": metadata}, 0
    for name in sorted(tensors):
        size = tensors[name].numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the data begin at a multiple of 8 bytes
    return struct.pack("<Q", len(text)) + text


class UsageError(Exception):
    """A command line that would destroy something, or cannot work."""


def kind(mode):
    for is_kind, name in ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISREG, "file")):
        if is_kind(mode):
            return name
    return "device"


def check_files(source, target):
    """Refuse, before any work, an output that would destroy something, and an input that would be waited for for ever.

    Links are followed, in reading and in writing."""
    try:
        read = os.stat(source)
    except OSError:
        read = None  # whoever reads it says why
    if read is not None and not stat.S_ISREG(read.st_mode):
        raise UsageError(f"{source}: it is a {kind(read.st_mode)}, not a file")
    directory = os.path.dirname(os.path.realpath(target))
    if not os.path.isdir(directory):
        raise UsageError(f"{target}: there is no directory {directory}; create it first")
    if not os.path.lexists(target):
        return
    if not os.path.exists(target):
        raise UsageError(f"{target}: it is a link that leads nowhere; give another output")
    written = os.stat(target)
    if not stat.S_ISREG(written.st_mode):
        raise UsageError(f"{target}: it is a {kind(written.st_mode)}, not a file; give another output")
    if read is not None and os.path.samestat(read, written):
        raise UsageError(f"output {target} is the same file as checkpoint {source}, which is read; give another output")
    with open(target, "rb") as f:
        begin = f.read(9)
    if begin and begin[8:] != b"{":
        raise UsageError(f"{target}: it exists and is no safetensors file: move it away, or give another output")


def write(tensors, metadata, path):
    """Write the file so that path holds its former content or all of the new one.

    Until then it is called, and locked, as those that synapnet-train writes: what a killed run leaves is removed by the next
    one that writes the same file, and no other is."""
    path = os.path.realpath(path)
    directory, base = os.path.split(path)
    sweep(directory, base)
    temporary = os.path.join(directory, f".synapnet-{base[:50]}-{secrets.token_hex(8)}.tmp")
    made = False
    try:
        with open(temporary, "xb") as f:
            made = True
            if fcntl is not None:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            f.write(encode_header(tensors, metadata))
            for name in sorted(tensors):
                t = tensors[name]
                # Straight from memory: works where PyTorch was built without NumPy.
                f.write(ctypes.string_at(t.data_ptr(), t.numel() * 4) if t.numel() else b"")
            f.flush()
            os.fsync(f.fileno())
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
        made = False
        sync_directory(directory)
    except OSError as e:
        raise ConversionError(f"{path}: cannot be written: {e.strerror or e}")
    finally:
        if made:
            os.unlink(temporary)


def sweep(directory, base):
    """Remove what killed runs left half-written of a file: temporary files that no process holds."""
    for name in os.listdir(directory):
        if not re.fullmatch(r"\.synapnet-" + re.escape(base[:50]) + r"-[0-9a-f]{16}\.tmp", name):
            continue
        try:
            with open(os.path.join(directory, name), "rb") as f:
                if fcntl is not None:
                    fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(f.name)
        except OSError:
            pass  # in use, or gone meanwhile


def sync_directory(directory):
    """Make the new name survive a power cut. Windows cannot, and some file systems."""
    if os.name == "nt":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def convert(torch, source, target, options):
    """Convert source to target; return (tensors, configuration, smoothed names)."""
    if sys.byteorder != "little":
        raise ConversionError("this machine is big-endian; convert on a little-endian one")
    checkpoint = load(torch, source, options.trust)
    state = state_dict(torch, checkpoint, source)
    tensors, smoothed = select(torch, state, source)
    config = configuration(checkpoint, state, options, source)
    write(tensors, {"config": json.dumps(config, sort_keys=True), "format": "pt"}, target)
    return tensors, config, smoothed


def parse(arguments):
    p = argparse.ArgumentParser(
        description="Turn a PyTorch checkpoint of the reference implementation into safetensors for synapnet-train.")
    p.add_argument("checkpoint", help="the .pt file")
    p.add_argument("output", help="the .safetensors file to write")
    p.add_argument("--trust", action="store_true",
                   help="unpickle arbitrary Python objects; only for files whose origin you trust, since loading can run code")
    p.add_argument("--heads", type=int, help="attention heads, if the checkpoint does not say")
    p.add_argument("--episodic-slots", type=int, help="memory slots, if the checkpoint does not say")
    p.add_argument("--k-frac", type=float, help="share of salient tokens, if the checkpoint does not say (default 0.25)")
    p.add_argument("--episodic-write-frac", type=float,
                   help="share of tokens written to memory, if the checkpoint does not say (default 0.05)")
    return p.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    try:
        check_files(options.checkpoint, options.output)
    except UsageError as e:
        print(f"pt2safetensors: {e}", file=sys.stderr)
        return 2
    try:
        import torch
    except ImportError as e:
        print(f"pt2safetensors: {sys.executable} has no PyTorch ({e}); "
              "install it (pip install torch, or apt-get install python3-torch and /usr/bin/python3)", file=sys.stderr)
        return 1
    try:
        tensors, config, smoothed = convert(torch, options.checkpoint, options.output, options)
    except ConversionError as e:
        print(f"pt2safetensors: {e}", file=sys.stderr)
        return 1
    n = sum(t.numel() for name, t in tensors.items() if not name.endswith("smooth_scale"))
    print(f"{options.output}: {len(tensors)} tensors, {n:,} parameters")
    print(f"configuration: {json.dumps(config, sort_keys=True)}")
    for name in smoothed:
        print(f"kept {name}: SmoothQuant was applied to this layer")
    return 0


class Printable:
    """The last guard before a terminal: what a name in a checkpoint or a path could work it with is printed as an escape,
    and lines of more than 1,900 letters are cut in the middle."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        lines = ["".join(self.letter(c) for c in line) for line in text.split("\n")]
        lines = [line if len(line) <= 1900 else line[:1266] + "…" + line[-633:] for line in lines]
        self.stream.write("\n".join(lines))
        return len(text)

    @staticmethod
    def letter(c):
        """c, or its escape if it is a control or format character, or a byte that is no letter."""
        hidden = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\t"
        return c.encode("unicode_escape").decode() if hidden else c

    def __getattr__(self, name):
        return getattr(self.stream, name)


if __name__ == "__main__":
    sys.stdout, sys.stderr = Printable(sys.stdout), Printable(sys.stderr)
    sys.exit(main())
