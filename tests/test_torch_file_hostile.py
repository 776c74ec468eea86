"""Hostile torch.save files: whatever they name, nothing of it runs, and reading ends soon and in bounded memory."""

import contextlib
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch_saves import FOUR, GOOD, STOP, STORED, group, mapping, named, number, storage, tensor, text, write

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.weights.torch_file import read_tensors


def call(callee: bytes, *arguments: bytes) -> bytes:
    return callee + group(*arguments) + b"R"


CANARY = text("touch CANARY")  # for a shell
CODE = text("open('CANARY', 'w').close()")
SYSTEM = named("os", "system")
GETATTR = named("builtins", "getattr")
HOSTILE = named("hostile_module", "Hostile")  # importing it touches the canary
INNER = call(named("_codecs", "encode"), text("cos\nsystem\n(S'touch CANARY'\ntR."), text("latin1"))

# Programs that push one object. Python's own unpickler lets each of these touch the canary: they are real attacks.
ATTACKS = {
    "os.system": call(SYSTEM, CANARY),
    "posix.system": call(named("posix", "system"), CANARY),
    "subprocess": call(named("subprocess", "call"), b"](" + text("touch") + text("CANARY") + b"e"),
    "eval": call(named("builtins", "eval"), CODE),
    "exec by its old name": call(named("__builtin__", "exec"), CODE),
    "getattr chain": call(call(GETATTR, call(named("builtins", "__import__"), text("os")), text("system")), CANARY),
    "callable from a dict": call(call(call(GETATTR, mapping(run=SYSTEM), text("get")), text("run")), CANARY),
    "functools.partial": call(call(named("functools", "partial"), SYSTEM, CANARY)),
    "map": call(named("builtins", "list"), call(named("builtins", "map"), SYSTEM, b"](" + CANARY + b"e")),
    "pickle in a pickle": call(named("pickle", "loads"), INNER),
    "import of a module": named("hostile_module", "anything"),
    "stack global": call(text("os") + text("system") + b"\x93", CANARY),
    "inst": b"(" + CANARY + b"ios\nsystem\n",
    "obj": b"(" + HOSTILE + CANARY + b"o",
    "newobj": HOSTILE + group(CANARY) + b"\x81",
    "newobj with keywords": HOSTILE + b")}\x92",
    "setstate": HOSTILE + b")\x81" + CANARY + b"b",
    "copyreg": call(named("copyreg", "_reconstructor"), HOSTILE, named("builtins", "object"), b"N") + CANARY + b"b",
    "state on a module's class": call(HOSTILE + b"N" + mapping(__init__=SYSTEM) + b"\x86b", CANARY),
}

# These lean on torch.load, on confusing this reader, or on its time and memory; and what is to come of them.
TRICKS = {
    "torch.hub.load": ("loads", call(named("torch.hub", "load"), text("hostile_module"), text("x"))),
    "torch.load": ("loads", call(named("torch", "load"), text("CANARY"))),
    "nested torch storage": ("loads", call(named("torch.storage", "_load_from_bytes"), INNER)),
    "tensor subclass": ("loads", call(named("torch._tensor", "_rebuild_from_type_v2"), SYSTEM, HOSTILE, group(CANARY))),
    "state that replaces methods": ("loads", b"}" + mapping(__setstate__=SYSTEM) + b"b" + CANARY + b"b"),
    "name called through its state": ("loads", call(SYSTEM + mapping(__call__=SYSTEM) + b"b", CANARY)),
    "container called": ("loads", call(b"]", CANARY)),
    "text called": ("loads", call(text("os.system"), CANARY)),
    "result called": ("loads", call(call(named("torch._utils", "_rebuild_tensor_v2")), CANARY)),
    "storage of a foreign class": ("loads", group(text("storage"), SYSTEM, text("0"), text("cpu"), number(4)) + b"Q"),
    "persistent id that is a call": ("loads", call(SYSTEM, CANARY) + b"Q"),
    "persistent id that is text": ("loads", b"Pstorage\n"),
    "memo far away": ("loads", b"Nr\xff\xff\xff\xff"),
    "extension code": ("refused", b"\x82\x01"),
    "extension code of 4 bytes": ("refused", b"\x84\x01\0\0\0"),
    "out-of-band buffer": ("refused", b"\x97"),
    "unknown opcode": ("refused", b"\xff"),
    "huge text": ("refused", b"X\xff\xff\xff\xff"),
    "huge bytes": ("refused", b"\x8e" + b"\xff" * 7 + b"\x7f"),
    "huge number": ("refused", b"\x8b\xff\xff\xff\x7f\x01"),
    "million digits": ("refused", b"L" + b"9" * 1_000_000 + b"L\n"),
    "endless name": ("refused", text("m" * 5000) + text("n") + b"\x93"),
    "name that is no text": ("refused", b"NN\x93"),
    "name of tuples, short to write and endless in words": ("refused", b")" + b"2\x86" * 22 + b"2\x93"),
    "memo that is not there": ("refused", b"h\x07"),
    "empty stack": ("refused", b"0" * 9),
    "mark that is not there": ("refused", b"0ttt"),
    "too many steps": ("refused", b"N" + b"N0" * 1_100_000),
    "deep tuples": ("loads", b")" + b"\x85" * 400_000),
    "deep lists": ("loads", b"]" * 300_000 + b"a" * 299_999),
    "deep dicts": ("loads", (b"}" + text("k")) * 200_000 + b"N" + b"s" * 200_000),
    "deep tensors": (
        "loads",
        (named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage("0", 4)) * 50_000 + b"N" + b"))tR" * 50_000,
    ),
    "list in itself": ("loads", b"]q\x01h\x01a"),
    "dict in itself": ("loads", b"}q\x01" + text("k") + b"h\x01s"),
    "key that takes for ever to hash": ("loads", b"})" + b"q\x01h\x01\x86" * 5000 + b"Ns"),
    "keys of equal hashes": ("loads", b"}(" + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(30_000)) + b"u"),
}


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that every attack would make, in the folder where it would make it."""
    (tmp_path / "hostile_module.py").write_text(
        "open('CANARY', 'w').close()\n"
        "anything = 1\n"
        "class Hostile:\n"
        "    def __init__(self, *_): pass\n"
        "    def __new__(cls, *_, **__): return object.__new__(cls)\n"
        "    def __setstate__(self, state): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "CANARY"
    sys.modules.pop("hostile_module", None)


def read_beside(attack: bytes, path: Path) -> np.ndarray:
    """A good tensor from a file that has `attack` elsewhere in it."""
    return read_tensors(write(path, mapping(meta=attack, state_dict=mapping(t=GOOD)), STORED))["t"]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attack_beside_the_weights_runs_nothing(canary, attack):
    np.testing.assert_array_equal(read_beside(b"N", canary.with_name("good.pth")), FOUR)  # imports what a read does
    modules = set(sys.modules)
    np.testing.assert_array_equal(read_beside(attack, canary.with_name("a.pth")), FOUR)
    assert not canary.exists()
    assert set(sys.modules) == modules
    with contextlib.suppress(TypeError):
        pickle.loads(b"\x80\x02" + attack + STOP)
    assert canary.exists(), "this case attacks nothing"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attack_in_place_of_a_tensor_is_refused_and_runs_nothing(canary, attack):
    with pytest.raises(WeightsError, match=r"'t' is not a tensor|damaged"):
        read_tensors(write(canary.with_name("a.pth"), mapping(good=GOOD, t=attack), STORED))
    for part in (tensor(attack, (4,), (1,)), tensor(group(attack) + b"Q", (4,), (1,))):
        with pytest.raises(WeightsError, match="'t' is not a tensor"):
            read_tensors(write(canary.with_name("a.pth"), mapping(good=GOOD, t=part), STORED))
    assert not canary.exists()
    assert "hostile_module" not in sys.modules


@pytest.mark.parametrize(("outcome", "trick"), TRICKS.values(), ids=TRICKS)
def test_trick_runs_nothing_and_ends(canary, outcome, trick):
    modules, start_s = set(sys.modules), time.perf_counter()
    if outcome == "loads":
        np.testing.assert_array_equal(read_beside(trick, canary.with_name("a.pth")), FOUR)
    else:
        with pytest.raises(WeightsError, match=r"a\.pth is cut short, damaged or no plain"):
            read_beside(trick, canary.with_name("a.pth"))
    assert not canary.exists()
    assert set(sys.modules) == modules
    assert time.perf_counter() - start_s < 30
