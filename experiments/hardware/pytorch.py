"""SynapNet-Edge in PyTorch, timed pass by pass: the other side of the experiment pytorch.

synapnet-train starts it as PYTHON FILE and talks to it in JSON, a value a line: first what to measure, the fields of
measure.Batch, which is answered with what this side is and what it computed while it warmed up; then "turn", answered
with the seconds of one pass, as often as wanted; then "end". When the input ends, so does this.

The model is written from docs/spec.md, section 1, as one writes it in PyTorch, and does no more work than ours: of the
last block it computes the row that the head reads.
"""

import ctypes
import json
import math
import os
import platform
import re
import resource
import struct
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(f"{sys.executable} has no PyTorch")
from torch import nn
from torch.nn import functional as F


def heads_of(x, heads):
    """[B, T, D] as [B, H, T, D/H]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q, k, v, bias=None):
    """Scaled dot-product attention over the last two axes."""
    if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return (scores if bias is None else scores + bias).softmax(-1) @ v


def rows_at(x, places):
    """The rows of x [B, T, D] at places [B, K]."""
    return x.gather(1, places.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


class StateSpace(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dwconv = nn.Conv1d(c["dim"], c["dim"], 9, padding=4, groups=c["dim"])
        self.gate = nn.Linear(c["dim"], c["dim"])

    def forward(self, n, last):
        if last:
            n = n[:, -5:]  # the convolution sees no more
        s = n + self.gate(n).sigmoid() * self.dwconv(n.transpose(1, 2)).transpose(1, 2)
        return s[:, -1:] if last else s


class SparseAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["dim"]
        self.to_q, self.to_k, self.to_v = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.to_out = nn.Linear(d, d)
        self.salience_mlp = nn.Sequential(nn.Linear(d, d // 2), nn.ReLU(), nn.Linear(d // 2, 1))
        self.heads, self.threshold, self.k_frac = c["heads"], c["sparse_threshold"], c["k_frac"]

    def salient(self, n, at_least):
        """Salience logits [B, T], the k-th largest of each row, and places in descending order."""
        r = self.salience_mlp(n).squeeze(-1)
        k = max(1, int(self.k_frac * n.shape[1]))
        values, places = r.topk(max(k, at_least), dim=1)
        return r, values[:, k - 1 : k], places, k

    def forward(self, n, queries, r, theta, places, k):
        bias = None
        if n.shape[1] > self.threshold:
            n = rows_at(n, places[:, :k])
        else:
            bias = (torch.sigmoid(10 * (r - theta)) + 1e-6).log()[:, None, None, :]
        q, k, v = (heads_of(x, self.heads) for x in (self.to_q(queries), self.to_k(n), self.to_v(n)))
        return self.to_out(attend(q, k, v, bias).transpose(1, 2).flatten(-2))


class EpisodicMemory(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["dim"]
        self.key_proj, self.val_proj, self.query_proj = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.out_proj = nn.Linear(d, d)
        self.slots, self.write_frac = c["episodic_slots"], c["episodic_write_frac"]

    def writes(self, tokens):
        return max(1, int(self.write_frac * tokens))

    def write(self, n, places):
        bank = rows_at(n, places[:, : min(self.writes(n.shape[1]), self.slots)])
        return F.pad(bank, (0, 0, 0, self.slots - bank.shape[1]))

    def forward(self, queries, bank):
        return self.out_proj(attend(self.query_proj(queries), self.key_proj(bank), self.val_proj(bank)))


class ScaleBridge(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(c["dim"]) for _ in range(3))
        self.fuse = nn.Linear(3 * c["dim"], 3 * c["dim"])

    def forward(self, paths):
        return self.fuse(torch.cat([norm(x) for norm, x in zip(self.norms, paths)], -1)).chunk(3, -1)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hidden = c["dim"], int(c["mlp_ratio"] * c["dim"])
        self.norm_in = nn.LayerNorm(d)
        self.ssm, self.attn, self.epmem = StateSpace(c), SparseAttention(c), EpisodicMemory(c)
        self.scale_bridge = ScaleBridge(c) if c["use_scale_bridge"] else None
        self.alpha_gate, self.beta_gate = nn.Linear(d, d), nn.Linear(d, d)
        self.ff = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, d))

    def forward(self, x, last):
        n = self.norm_in(x)
        r, theta, places, k = self.attn.salient(n, self.epmem.writes(n.shape[1]))
        bank = self.epmem.write(n, places)
        queries, x = (n[:, -1:], x[:, -1:]) if last else (n, x)
        paths = [self.ssm(n, last), self.attn(n, queries, r, theta, places, k), self.epmem(queries, bank)]
        s, a, m = self.scale_bridge(paths) if self.scale_bridge else paths
        x = x + s + self.alpha_gate(queries).sigmoid() * a + self.beta_gate(queries).sigmoid() * m
        return x + self.ff(x), bank


class SynapNet(nn.Module):
    """The classifier: logits [B, N] of ids [B, T]."""

    def __init__(self, c):
        super().__init__()
        self.token_embed = nn.Embedding(c["vocab_size"], c["dim"])
        self.pos_embed = nn.Parameter(torch.zeros(1, c["max_len"], c["dim"]))
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        self.norm_out, self.head = nn.LayerNorm(c["dim"]), nn.Linear(c["dim"], c["num_classes"])

    def forward(self, ids):
        x = self.token_embed(ids) + self.pos_embed[:, : ids.shape[1]]
        for i, block in enumerate(self.blocks):
            x, bank = block(x, last=i == len(self.blocks) - 1)
        return self.head(self.norm_out(x)[:, -1] + bank.mean(1))


def load(path):
    """The model of a safetensors file in float32 that synapnet-train wrote."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = bytearray(f.read())
    model = SynapNet(json.loads(header.pop("__metadata__")["config"]))
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        tensors[name] = torch.frombuffer(data, dtype=torch.float32, offset=begin, count=(end - begin) // 4)
        tensors[name] = tensors[name].reshape(t["shape"])
    model.load_state_dict(tensors)  # every name, and no other
    return model


def adamw(model, o):
    """AdamW over all parameters, in one fused kernel where this PyTorch has one for CPUs."""
    settings = dict(lr=o["lr"], betas=(o["beta1"], o["beta2"]), weight_decay=o["weight_decay"])
    try:
        return torch.optim.AdamW(model.parameters(), fused=True, **settings)
    except (TypeError, RuntimeError):
        return torch.optim.AdamW(model.parameters(), **settings)


def prepare(batch):
    """One pass over the batch: its loss and training step, or its logits."""
    model = load(batch["model"])
    shape = batch["batch"], batch["context"]
    ids = torch.tensor(batch["ids"]).reshape(shape)
    run = torch.compile(model) if batch.get("compiled") else model
    if "train" not in batch:
        model.eval()

        def infer():
            with torch.inference_mode():
                return run(ids).flatten()

        return infer
    labels, clip = torch.tensor(batch["labels"]), batch["train"]["clip"]
    optimiser = adamw(model, batch["train"])

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(run(ids), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        return loss.detach().reshape(1)

    return step


def openblas():
    """The kernels of the OpenBLAS in this process; None without one, or where the system does not tell."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libopenblas" in line or "libblas" in line}
    except OSError:
        return None
    for library in map(ctypes.CDLL, sorted(paths)):
        if hasattr(library, "openblas_get_corename"):
            library.openblas_get_corename.restype = ctypes.c_char_p
            return library.openblas_get_corename().decode()
    return None


def build():
    """The libraries and instructions that this PyTorch computes with."""
    core = openblas()
    blas = "MKL" if torch.backends.mkl.is_available() else f"OpenBLAS {core}" if core else "a BLAS that it does not name"
    parts = [f"Python {platform.python_version()}", blas]
    parts += ["oneDNN"] if torch.backends.mkldnn.is_available() else []
    parts += re.findall("CPU capability usage: (.*)", torch.__config__.show())
    return ", ".join(parts)


def serve(requests, answer):
    batch = json.loads(next(requests))
    torch.set_num_threads(batch["threads"])
    run = prepare(batch)
    computed = [x for _ in range(batch["warmups"]) for x in run().tolist()]
    answer({"computed": computed, "version": torch.__version__.split("+")[0], "build": build()})
    for line in requests:
        if json.loads(line) == "end":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer({"peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024})
            return
        start = time.perf_counter()
        run()
        answer(time.perf_counter() - start)


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        out.write(json.dumps(value) + "\n")
        out.flush()

    serve(iter(sys.stdin.readline, ""), answer)


if __name__ == "__main__":
    main()
