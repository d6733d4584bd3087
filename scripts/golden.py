#!/usr/bin/env python3
"""Makes files of golden tensors of any shape, for `synapnet-train conform`.

    git clone https://github.com/vineetha00/SynapNet-Edge
    scripts/golden.py SynapNet-Edge --out golden --dim 48 --heads 3 --depth 3 --vocab 70

Runs the reference implementation in the given clone (PyTorch, CPU, float32) on random weights and inputs and writes what it
computes: model-dense, model-sparse, model-nobridge, model-external-memory and train-adamw, each a safetensors file whose
header holds the configuration as JSON under "case". Weights are drawn wider than the initialisation, so that every part of the
model contributes. --num-classes 0 makes language models. Without the safetensors package: the format is written by hand.
"""
import argparse
import json
import os
import struct
import sys


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("clone", help="path of a clone of the reference implementation")
    p.add_argument("--out", default="golden", help="directory to write to")
    p.add_argument("--dim", type=int, default=48)
    p.add_argument("--depth", type=int, default=2)
    p.add_argument("--heads", type=int, default=3)
    p.add_argument("--vocab", type=int, default=70)
    p.add_argument("--num-classes", type=int, default=10)
    p.add_argument("--slots", type=int, default=4)
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--tokens", type=int, default=40)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def save(path, tensors, case):
    header, offset, parts = {"__metadata__": {"case": json.dumps(case)}}, 0, []
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        data = tensor.numpy().tobytes()
        dtype = {"torch.float32": "F32", "torch.int64": "I64"}[str(tensor.dtype)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        parts.append(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(parts))
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".tmp", path)
    print(path)


def main():
    args = arguments()
    if not os.path.isdir(os.path.join(args.clone, "synapnet_edge")):
        sys.exit(f"golden: {args.clone} is not a clone of the reference: it has no folder synapnet_edge")
    if args.dim % args.heads:
        sys.exit(f"golden: --heads {args.heads} must divide --dim {args.dim}")
    sys.path.insert(0, args.clone)
    import torch
    import torch.nn.functional as F
    from synapnet_edge.models.synapnet_edge_model import SynapNetEdge, SynapNetEdgeConfig

    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    lm = args.num_classes == 0
    outputs = args.vocab if lm else args.num_classes
    base = dict(dim=args.dim, depth=args.depth, vocab_size=args.vocab, max_len=2 * args.tokens,
                num_classes=None if lm else args.num_classes, heads=args.heads, k_frac=0.25,
                episodic_slots=args.slots, episodic_write_frac=0.1, mlp_ratio=4.0, use_scale_bridge=True)

    def model(case):
        torch.manual_seed(args.seed)
        m = SynapNetEdge(SynapNetEdgeConfig(**{k: v for k, v in case.items() if k in SynapNetEdgeConfig.__dataclass_fields__}))
        for block in m.blocks:
            block.attn.sparse_threshold = case.get("sparse_threshold", 1024)
        with torch.no_grad():
            for p in m.parameters():
                p.add_(torch.randn_like(p) * 0.08)
        return m

    def labels(*shape):
        return torch.randint(0, outputs, shape + ((args.tokens,) if lm else ()))

    def cross_entropy(logits, target):
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1))

    def weights(prefix, m):
        return {prefix + n: p.detach().clone() for n, p in m.named_parameters()}

    def forward(name, **changes):
        case = {**base, **changes}
        m = model(case)
        ids, target = torch.randint(0, args.vocab, (args.batch, args.tokens)), labels(args.batch)
        logits, salience, banks, top = m(ids)
        loss = cross_entropy(logits, target)
        loss.backward()
        t = {"in.ids": ids, "in.labels": target, "out.logits": logits, "out.loss": loss.reshape(1)}
        for i in range(len(banks)):
            t[f"out.salience.{i}"], t[f"out.membank.{i}"], t[f"out.topk.{i}"] = salience[i], banks[i], top[i]
        t.update(weights("w.", m))
        t.update({"g." + n: p.grad for n, p in m.named_parameters() if p.grad is not None})
        save(os.path.join(args.out, name + ".safetensors"), t, case)

    def external(name):
        case = {**base, "stream_chunk": max(8, args.tokens // 3)}
        m = model(case)
        ids = torch.randint(0, args.vocab, (args.batch, args.tokens))
        memory = [torch.randn(args.batch, args.slots + 1, args.dim) for _ in m.blocks]
        t = {"in.ids": ids, **weights("w.", m), **{f"in.ext.{i}": e for i, e in enumerate(memory)}}
        with torch.no_grad():
            t["out.logits"] = m(ids, external_mems=memory)[0]
            t["out.streaming_logits"] = m.forward_streaming(ids[:1], chunk_size=case["stream_chunk"])[0]
        save(os.path.join(args.out, name + ".safetensors"), t, case)

    def train(name):
        case = {**base, "lr": 0.003, "weight_decay": 0.01, "betas": [0.9, 0.95], "grad_clip": 1.0, "eps": 1e-8}
        m = model(case)
        t = weights("w0.", m)
        optimiser = torch.optim.AdamW(m.parameters(), lr=case["lr"], weight_decay=case["weight_decay"],
                                      betas=tuple(case["betas"]), eps=case["eps"])
        ids = torch.randint(0, args.vocab, (args.steps, args.batch, args.tokens))
        target, losses, norms = labels(args.steps, args.batch), [], []
        for step in range(args.steps):
            optimiser.zero_grad()
            loss = cross_entropy(m(ids[step])[0], target[step])
            loss.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(m.parameters(), case["grad_clip"]))
            optimiser.step()
            losses.append(loss.detach())
        t.update({"in.ids": ids, "in.labels": target, "out.losses": torch.stack(losses), "out.grad_norms": torch.stack(norms)})
        t.update(weights(f"w{args.steps}.", m))
        save(os.path.join(args.out, name + ".safetensors"), t, case)

    forward("model-dense")
    forward("model-sparse", sparse_threshold=args.tokens // 2)
    forward("model-nobridge", use_scale_bridge=False)
    external("model-external-memory")
    train("train-adamw")


if __name__ == "__main__":
    main()
