"""Writes the small checkpoints of this folder: run once with PyTorch 2 and NumPy installed.

Every tensor has values that the unit tests of formats/checkpoint can compute, so that the files
need no expected output; the tests say what they expect.
"""
import argparse
import collections
import io
import json
import os
import pickle
import struct
import zipfile

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, name)


def state_dict():
    """A dict of tensors in which element i of a storage is i - 3, or i if the type has no sign."""
    state = collections.OrderedDict()
    ramp = torch.arange(12) - 3
    for name, dtype in [("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16),
                        ("f64", torch.float64), ("i64", torch.int64), ("i32", torch.int32),
                        ("i16", torch.int16), ("i8", torch.int8)]:
        state[name] = ramp.to(dtype).reshape(3, 4)
    state["u8"] = torch.arange(12).to(torch.uint8).reshape(3, 4)
    state["bool"] = torch.arange(12) % 3 == 0
    base = ramp.to(torch.float32)
    state["whole"] = base
    state["transposed"] = base.reshape(3, 4).t()
    state["permuted"] = base.reshape(2, 3, 2).permute(2, 0, 1)
    state["tail"] = base[5:]
    state["every_third"] = base[1::3]
    state["repeated"] = base[4:6].expand(3, 2)
    state["tied"] = base
    state["scalar"] = torch.tensor(0.5)
    state["empty"] = torch.zeros(0, 3)
    state["parameter"] = torch.nn.Parameter(base.clone())
    return state


def arguments():
    return argparse.Namespace(
        arch="mega_test", chunk_size=-1, dropout=0.1, share=True, restore=None,
        lr=[0.001, 2], betas=(0.9, 0.98), nested={"a": {"b": 1}}, device=torch.device("cpu"),
        big=2 ** 80, dtype=torch.float16, text="\u00e4\u20ac", infinite=float("inf"))


def whole():
    """A checkpoint as a training run saves it: tensors, arguments, and state to be ignored."""
    return {
        "args": arguments(),
        "model": state_dict(),
        "optimizer_history": [{"num_updates": 7, "criterion_name": "C"}],
        "last_optimizer_state": {"state": {0: {"step": 1, "exp_avg": torch.ones(5)}},
                                 "param_groups": [{"lr": 0.1, "betas": (0.9, 0.98)}]},
        "extra_state": {"best": numpy.float64(0.25), "count": numpy.int64(3),
                        "curve": numpy.arange(3.0), "seen": {1, 2}, "size": torch.Size([2, 3])},
    }


def rewrite(source, target, deflate=(), replace=()):
    """Copies an archive, with some records deflated and the content of others replaced."""
    replace = dict(replace)
    with zipfile.ZipFile(path(source)) as old, zipfile.ZipFile(path(target), "w") as new:
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            method = zipfile.ZIP_DEFLATED if name in deflate else zipfile.ZIP_STORED
            new.writestr(info.filename, replace.get(name, old.read(info)), method)


def safetensors(name, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (dtype, array) in tensors.items():
        begin = len(data)
        data += array.tobytes()
        header[key] = {"dtype": dtype, "shape": list(array.shape),
                       "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path(name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


class Attack:
    def __reduce__(self):
        return os.system, ("touch /tmp/mega-was-here",)


def main():
    torch.save(whole(), path("zip.pt"))
    torch.save(whole(), path("legacy.pt"), _use_new_zipfile_serialization=False)
    for protocol in 3, 5:
        torch.save(whole(), path(f"legacy_protocol{protocol}.pt"), pickle_protocol=protocol,
                   _use_new_zipfile_serialization=False)
    torch.save(whole(), path("protocol4.pt"), pickle_protocol=4)
    bare = {key: value for key, value in state_dict().items() if key in ("f32", "transposed")}
    torch.save(bare, path("bare.pt"))
    torch.save({"cfg": {"model": arguments()}, "state_dict": bare}, path("cfg.pt"))
    torch.save({"model": Attack()}, path("attack.pt"))
    torch.save(torch.nn.Linear(2, 2), path("module.pt"))
    torch.save({"epoch": 3}, path("no_tensors.pt"))
    rewrite("bare.pt", "deflated_pickle.pt", deflate=["data.pkl"])
    rewrite("bare.pt", "deflated_data.pt", deflate=["data/0"])
    rewrite("bare.pt", "big_endian.pt", replace={"byteorder": b"big"})
    rewrite("bare.pt", "short_record.pt", replace={"data/0": bytes(40)})
    with open(path("plain.pickle"), "wb") as file:
        pickle.dump({"a": [1, 2]}, file, protocol=2)
    ramp = numpy.arange(12).reshape(3, 4) - 3
    halves = (ramp.astype("<f4").view("<u4") >> 16).astype("<u2")
    safetensors("small.safetensors", {
        "f32": ("F32", ramp.astype("<f4")), "f16": ("F16", ramp.astype("<f2")),
        "bf16": ("BF16", halves), "f64": ("F64", ramp.astype("<f8")),
        "i64": ("I64", ramp.astype("<i8")), "i32": ("I32", ramp.astype("<i4")),
        "i16": ("I16", ramp.astype("<i2")), "i8": ("I8", ramp.astype("i1")),
        "u8": ("U8", (ramp + 3).astype("u1")), "bool": ("BOOL", (ramp + 3) % 3 == 0),
        "scalar": ("F32", numpy.float32(0.5).reshape(()))})


if __name__ == "__main__":
    main()
