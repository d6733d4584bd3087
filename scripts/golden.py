#!/usr/bin/env python3
"""Makes files of golden tensors of any shape, for `synapnet-train conform`.

    git clone https://github.com/vineetha00/SynapNet-Edge
    scripts/golden.py SynapNet-Edge --out golden --dim 48 --heads 3 --depth 3 --vocab 70

Runs the reference implementation in the given clone (PyTorch, CPU, float32) on random weights and inputs and writes what it
computes: model-dense, model-sparse, model-nobridge, model-external-memory, train-adamw, attention-smoothquant-awq (with
dense and with sparse attention), quantisers (the 2-bit one by the formula of SPEC section 4) and the baselines, each a safetensors file whose
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
    p.add_argument("--group", type=int, default=20, help="inputs that share an INT4 scale")
    p.add_argument("--alpha", type=float, default=0.5, help="SmoothQuant's exponent")
    p.add_argument("--salient-frac", type=float, default=0.05)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def save(path, tensors, case):
    header, offset, parts = {"__metadata__": {"case": json.dumps(case)}}, 0, []
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        data = tensor.numpy().tobytes()
        dtype = {"torch.float32": "F32", "torch.float16": "F16", "torch.int64": "I64", "torch.int8": "I8"}[str(tensor.dtype)]
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

    def attention(name, **changes):
        from synapnet_edge.quantization.attention_quantizer import AWQCalibrator, SmoothQuantCalibrator
        case = {**base, **changes, "alpha": args.alpha, "group_size": args.group, "salient_frac": args.salient_frac}
        m = model(case).eval()
        t = weights("w.", m)
        ids = torch.randint(0, args.vocab, (args.batch, args.tokens))
        calib = torch.randint(0, args.vocab, (3, args.batch, args.tokens))
        smooth, awq = SmoothQuantCalibrator(alpha=args.alpha), AWQCalibrator(args.group, args.salient_frac)
        with torch.no_grad():
            smooth.register_hooks(m)
            awq.register_hooks(m)
            for batch in calib:
                m(batch)
            smooth.remove_hooks()
            awq.remove_hooks()
            smooth.apply_smooth(m)
            awq.apply(m)
            t.update({"in.ids": ids, "in.calib": calib, "out.logits": m(ids)[0]})
        for i, block in enumerate(m.blocks):
            t[f"q.blocks.{i}.attn.smooth_scale"] = block.attn.smooth_scale
            for layer in ("to_q", "to_k", "to_v", "to_out"):
                q, prefix = getattr(block.attn, layer), f"q.blocks.{i}.attn.{layer}."
                t.update({prefix + "w_int4": q.w_int4, prefix + "scales": q.scales, prefix + "zeros": q.zeros,
                          prefix + "salient_mask": q.salient_mask.to(torch.int8), prefix + "salient": q.salient_fp16})
        save(os.path.join(args.out, name + ".safetensors"), t, case)

    def quantisers(name):
        from synapnet_edge.quantization.attention_quantizer import dequantize_int4_group, quantize_int4_group
        from synapnet_edge.quantization.memory_quantizer import dequantize_mem_bank, quantize_mem_bank
        torch.manual_seed(args.seed)
        w, bank = torch.randn(args.slots, args.dim), torch.randn(args.batch, args.slots, args.dim)
        q, scales, zeros = quantize_int4_group(w, args.group)
        q8, scales8 = quantize_mem_bank(bank)
        weight = torch.randn(args.heads, args.dim, requires_grad=True)
        log_step = (weight.detach().abs().amax(1) / 1.5 * torch.linspace(0.5, 1.1, args.heads)).log().requires_grad_()
        u = (weight / log_step.exp()[:, None]).clamp(-1.5, 1.5)
        level = u + ((u - 0.5).round() + 0.5 - u).detach()
        out, upstream = level * log_step.exp()[:, None], torch.randn(args.heads, args.dim)
        out.backward(upstream)
        save(os.path.join(args.out, name + ".safetensors"), {
            "int4.w": w, "int4.q": q, "int4.scales": scales, "int4.zeros": zeros,
            "int4.deq": dequantize_int4_group(q, scales, zeros, args.dim, args.group),
            "int8.bank": bank, "int8.q": q8, "int8.scales": scales8, "int8.deq": dequantize_mem_bank(q8, scales8),
            "seq2.w": weight, "seq2.log_step": log_step, "seq2.out": out, "seq2.upstream": upstream,
            "seq2.grad_w": weight.grad, "seq2.grad_log_step": log_step.grad,
        }, {"int4_group": args.group})

    def causal_attention(q, k, v, is_causal):
        assert is_causal
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        return scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf")).softmax(-1) @ v

    def baselines():
        if not hasattr(F, "scaled_dot_product_attention"):  # PyTorch 1
            F.scaled_dot_product_attention = causal_attention
        from synapnet_edge.baselines.em_llm import EMLLMBaseline
        from synapnet_edge.baselines.falcon_h1_proxy import FalconH1Proxy
        from synapnet_edge.baselines.llama_awq_proxy import LlamaAWQProxy
        from synapnet_edge.baselines.mamba2_proxy import Mamba2Proxy
        shape = dict(dim=args.dim, depth=args.depth, vocab_size=args.vocab, max_len=2 * args.tokens, num_classes=base["num_classes"])
        yield "gru_ssm", 4.0, Mamba2Proxy(**shape, quantized=False)
        yield "llama", 2.67, LlamaAWQProxy(**shape, heads=args.heads, quantized=False)
        yield "falcon_h1", 4.0, FalconH1Proxy(**shape, heads=args.heads)
        yield "em_llm", 4.0, EMLLMBaseline(**shape, heads=args.heads, mem_slots=args.slots)

    def baseline(architecture, mlp_ratio, m):
        case = {**base, "architecture": architecture, "mlp_ratio": mlp_ratio, "use_scale_bridge": False}
        torch.manual_seed(args.seed)
        with torch.no_grad():
            for p in m.parameters():
                p.add_(torch.randn_like(p) * 0.08)
        ids, target = torch.randint(0, args.vocab, (args.batch, args.tokens)), labels(args.batch)
        logits = m(ids)[0]
        loss = cross_entropy(logits, target)
        loss.backward()
        t = {"in.ids": ids, "in.labels": target, "out.logits": logits, "out.loss": loss.reshape(1), **weights("w.", m)}
        t.update({"g." + n: p.grad for n, p in m.named_parameters() if p.grad is not None})
        save(os.path.join(args.out, f"baseline-{architecture}.safetensors"), t, case)

    forward("model-dense")
    forward("model-sparse", sparse_threshold=args.tokens // 2)
    forward("model-nobridge", use_scale_bridge=False)
    external("model-external-memory")
    train("train-adamw")
    attention("attention-smoothquant-awq")
    attention("attention-smoothquant-awq-sparse", sparse_threshold=args.tokens // 2)
    quantisers("quantisers")
    for b in baselines():
        baseline(*b)


if __name__ == "__main__":
    main()
