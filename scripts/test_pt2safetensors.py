#!/usr/bin/env python3
"""Tests of pt2safetensors.py, run by hand: python3 scripts/test_pt2safetensors.py

Needs PyTorch. The checkpoints are made here, with the tensor names and shapes of
a small model of the reference.
"""

import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
import warnings

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pt2safetensors  # noqa: E402

DIM, DEPTH, VOCAB, CLASSES, LENGTH, SLOTS = 8, 2, 20, 5, 16, 4
CONFIG = {"dim": DIM, "depth": DEPTH, "vocab_size": VOCAB, "max_len": LENGTH, "num_classes": CLASSES, "heads": 2,
          "k_frac": 0.5, "episodic_slots": SLOTS, "episodic_write_frac": 0.1, "mlp_ratio": 4.0,
          "use_scale_bridge": True, "ssm_bits": 2}


def small_state(classes=CLASSES):
    torch.manual_seed(1)
    state = {"pos_embed": torch.randn(1, LENGTH, DIM), "token_embed.weight": torch.randn(VOCAB, DIM)}
    for i in range(DEPTH):
        b = f"blocks.{i}."
        state[b + "attn.smooth_scale"] = torch.ones(DIM)
        state[b + "attn.to_q.weight"] = torch.randn(DIM, DIM)
        state[b + "epmem.slot_scales"] = torch.ones(SLOTS)
        state[b + "scale_bridge.fuse.weight"] = torch.randn(3 * DIM, 3 * DIM)
        state[b + "ff.0.weight"] = torch.ones(DIM)
        state[b + "ff.1.weight"] = torch.randn(4 * DIM, DIM)
        state[b + "ff.3.weight"] = torch.randn(DIM, 4 * DIM)
    state["head.weight"] = torch.randn(classes, DIM)
    return state


def read_safetensors(path):
    """Metadata and name -> (shape, floats), read as the format's description says."""
    with open(path, "rb") as f:
        data = f.read()
    (n,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + n]), data[8 + n:]
    metadata = header.pop("__metadata__")
    tensors, end = {}, 0
    for name, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = t["data_offsets"]
        assert t["dtype"] == "F32" and begin == end
        tensors[name] = (t["shape"], struct.unpack(f"<{(stop - begin) // 4}f", body[begin:stop]))
        end = stop
    assert end == len(body) and n % 8 == 0
    return metadata, tensors


class PrintableTest(unittest.TestCase):
    def test_foreign_names(self):
        out = io.StringIO()
        print("é 漢字\t🙂 \x1b[31m\u202e\x9b\udcff", "x" * 100_000, "end", file=pt2safetensors.Printable(out))
        text = out.getvalue()
        self.assertTrue(text.startswith("é 漢字\t🙂 \\x1b[31m\\u202e\\x9b\\udcff x"), text[:80])
        self.assertTrue(len(text) < 2000 and text.endswith("x end\n"), len(text))


class Conversion(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.source = os.path.join(self.directory.name, "in.pt")
        self.target = os.path.join(self.directory.name, "out.safetensors")

    def run_on(self, checkpoint, *flags):
        """Exit status and what was printed, of the conversion of checkpoint."""
        torch.save(checkpoint, self.source)
        return self.run_file(*flags)

    def run_file(self, *flags):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = pt2safetensors.main([self.source, self.target, *flags])
        return status, out.getvalue()

    def refused(self, checkpoint, *flags):
        status, message = self.run_on(checkpoint, *flags)
        self.assertEqual(status, 1, message)
        self.assertEqual(message.count("\n"), 1, message)
        self.assertEqual(os.listdir(self.directory.name), ["in.pt"])
        return message

    def test_values_shapes_and_configuration_survive(self):
        state = small_state()
        status, message = self.run_on({"model_state": state, "model_cfg": CONFIG, "training_time_s": 1.5})
        self.assertEqual(status, 0, message)
        metadata, tensors = read_safetensors(self.target)
        kept = {k: v for k, v in state.items() if not k.endswith(("smooth_scale", "slot_scales"))}
        self.assertEqual(set(tensors), set(kept))
        for name, tensor in kept.items():
            shape, values = tensors[name]
            self.assertEqual(shape, list(tensor.shape))
            self.assertEqual(list(values), tensor.flatten().tolist())
        expected = {k: v for k, v in CONFIG.items() if k != "ssm_bits"}
        self.assertEqual(json.loads(metadata["config"]), {**expected, "sparse_threshold": 1024})
        self.assertEqual(sorted(os.listdir(self.directory.name)), ["in.pt", "out.safetensors"])

    def test_every_wrapping_gives_the_same_file(self):
        files = set()
        state = small_state()
        for checkpoint in [state] + [{k: state, "epoch": 3} for k in pt2safetensors.STATE_KEYS]:
            status, message = self.run_on(checkpoint, "--heads", "2")
            self.assertEqual(status, 0, message)
            with open(self.target, "rb") as f:
                files.add(f.read())
        self.assertEqual(len(files), 1)

    def test_configuration_is_read_off_the_shapes(self):
        self.run_on(small_state(), "--heads", "2", "--k-frac", "0.5", "--episodic-write-frac", "0.1")
        config = json.loads(read_safetensors(self.target)[0]["config"])
        expected = {k: v for k, v in CONFIG.items() if k != "ssm_bits"}
        self.assertEqual(config, {**expected, "sparse_threshold": 1024})

    def test_language_model_head_is_num_classes_zero(self):
        for checkpoint in [small_state(VOCAB),
                           {"model_state": small_state(VOCAB), "model_cfg": {**CONFIG, "num_classes": None}}]:
            status, message = self.run_on(checkpoint, "--heads", "2")
            self.assertEqual(status, 0, message)
            self.assertEqual(json.loads(read_safetensors(self.target)[0]["config"])["num_classes"], 0)

    def test_half_precision_parameters_and_views_become_float32(self):
        state = small_state()
        state["head.weight"] = torch.nn.Parameter(torch.randn(DIM, CLASSES).half().t())
        self.run_on(state, "--heads", "2")
        shape, values = read_safetensors(self.target)[1]["head.weight"]
        self.assertEqual(shape, [CLASSES, DIM])
        self.assertEqual(list(values), state["head.weight"].float().flatten().tolist())

    def test_a_calibrated_smooth_scale_is_kept(self):
        state = small_state()
        state["blocks.1.attn.smooth_scale"] = torch.full((DIM,), 0.5)
        _, message = self.run_on(state, "--heads", "2")
        tensors = read_safetensors(self.target)[1]
        self.assertIn("blocks.1.attn.smooth_scale", tensors)
        self.assertNotIn("blocks.0.attn.smooth_scale", tensors)
        self.assertIn("kept blocks.1.attn.smooth_scale", message)

    def test_bad_checkpoints_are_refused(self):
        spoilt = {
            "int8": lambda s: s.update({"blocks.0.attn.w_int4": torch.zeros(2, dtype=torch.int8)}),
            "NaN": lambda s: s["head.weight"].fill_(float("nan")),
            "token_embed.weight is missing": lambda s: s.pop("token_embed.weight"),
            "without gaps": lambda s: [s.pop(k) for k in list(s) if k.startswith("blocks.0.")],
        }
        for expected, spoil in spoilt.items():
            with self.subTest(expected):
                state = small_state()
                spoil(state)
                self.assertIn(expected, self.refused(state, "--heads", "2"))
        self.assertIn("no tensors", self.refused({"epoch": 1}))
        self.assertIn("holds a list", self.refused([1, 2]))
        self.assertIn("--heads", self.refused(small_state()))
        self.assertIn("must divide dim (8)", self.refused(small_state(), "--heads", "3"))
        wrong = {"model_state": small_state(), "model_cfg": {**CONFIG, "depth": 3}}
        self.assertIn("depth 3, the tensors say 2", self.refused(wrong))
        self.assertIn("leave the flag out", self.refused({"model_state": small_state(), "model_cfg": CONFIG}, "--heads", "4"))

    def test_code_in_a_checkpoint_is_not_run(self):
        marker = os.path.join(self.directory.name, "ran")
        message = self.refused({"model_state": small_state(), "evil": Evil(marker)})
        self.assertIn("could run code", message)
        self.assertFalse(os.path.exists(marker))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Evil leaves its file open
            self.run_file("--trust", "--heads", "2")
        self.assertTrue(os.path.exists(marker), "the test's checkpoint is harmless, so it proves nothing")

    def test_unreadable_files_are_refused(self):
        for content in [b"", b"garbage", None]:
            with self.subTest(content):
                if content is None:
                    os.unlink(self.source)
                else:
                    with open(self.source, "wb") as f:
                        f.write(content)
                status, message = self.run_file()
                self.assertEqual(status, 1)
                self.assertEqual(message.count("\n"), 1, message)

    def test_a_failed_conversion_leaves_the_former_file(self):
        former = b"\2\0\0\0\0\0\0\0{}"
        with open(self.target, "wb") as f:
            f.write(former)
        self.run_on({"epoch": 1})
        with open(self.target, "rb") as f:
            self.assertEqual(f.read(), former)

    def test_outputs_destroy_nothing(self):
        """The Go test TestConverterDestroysNothing tries the refusals; here: what may be replaced is, through a link too."""
        self.run_on(small_state())
        link = os.path.join(self.directory.name, "link")
        os.symlink(self.target, link)
        left = os.path.join(self.directory.name, ".synapnet-out.safetensors-0123456789abcdef.tmp")
        with open(left, "w"):
            pass
        self.target = link
        status, message = self.run_file("--heads", "2")
        self.assertEqual(status, 0, message)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(sorted(os.listdir(self.directory.name)), ["in.pt", "link", "out.safetensors"])


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


if __name__ == "__main__":
    unittest.main()
