"""What the pickle in a torch.save file describes, found out without running it.

A pickle is a program: its opcodes import, call and set whatever it names. Here it is interpreted by a machine of our
own that knows literals, plain containers, tensors and names only, and has no step that imports, calls or sets anything.
What it does not know stays an inert `Foreign`.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MAX_STEPS = 1_000_000  # RTMDet's file takes 20 thousand
_MAX_NAME_LENGTH = 200

_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class DamagedError(ValueError):
    """The file contradicts itself; the message says how, without the file's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """Whatever is neither plain data nor a tensor: a "module name" of the file, or (`made`) what was to come of it."""

    name: str
    made: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The bytes behind tensors: the zip entry data/`key`, `elements` numbers of a `kind` like "torch FloatStorage"."""

    key: str
    kind: str
    elements: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor as described. Offset, shape and strides (in elements) may be anything: check them before use."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


def interpret(
    program: bytes,
    outcome: Callable[[Any, Any], Any] | None = None,
    build: Callable[[Any, Any], None] = lambda target, state: None,
) -> Any:
    """The object that a pickle describes, made of literals, containers, Tensor and Foreign.

    No object of the program is imported, called, given attributes, compared by rules of its own, or hashed (but text).
    A step costs bounded time and memory beyond the bytes it is written in, and there is no recursion.
    The opcodes are documented in the standard library's pickletools, which also decodes them.

    Args:
        outcome: what stands for the call of a callee with its arguments, both as described; default: of what a state
            dict is made by, its tensors and containers.
        build: hears of the state that an object is given. By default no object has any.

    Raises:
        DamagedError, or another ValueError, LookupError or TypeError: the program does not make sense.
    """
    outcome = outcome or _outcome
    stack: list[Any] = []
    marks: list[int] = []  # heights of the stack
    memo: dict[int, Any] = {}

    def above_mark() -> list[Any]:
        height = marks.pop()
        items = stack[height:]
        del stack[height:]
        return items

    argument: Any  # what the opcode takes
    for step, (opcode, argument, _) in enumerate(pickletools.genops(program)):
        if step == _MAX_STEPS:
            raise DamagedError("its description has too many steps")
        match opcode.name:
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])
            case name if name in _LITERALS:
                stack.append(argument)
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(above_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                length = int(name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "EMPTY_TUPLE":
                stack.append(())
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(outcome(stack.pop(), arguments))
            case "NEWOBJ_EX":
                del stack[-2:]
                stack.append(outcome(stack.pop(), None))
            case "INST":
                stack.append(outcome(Foreign(argument), tuple(above_mark())))
            case "OBJ":
                callee, *arguments = above_mark()
                stack.append(outcome(callee, tuple(arguments)))
            case "BUILD":
                state = stack.pop()
                build(stack[-1], state)
            case "GLOBAL":
                stack.append(Foreign(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                # Tuples of tuples are short to write down, and endless in words.
                if not (isinstance(name, str) and isinstance(module, str)):
                    raise DamagedError("a name in it is no text")
                if len(module) + len(name) > _MAX_NAME_LENGTH:
                    raise DamagedError("a name in it is too long")
                stack.append(Foreign(f"{module} {name}"))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "PERSID":
                stack.append(Foreign("persistent id", made=True))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE" as name:
                stack.append(name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = above_mark()
                stack.append({})
                _set_items(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "SETITEMS":
                items = above_mark()
                _set_items(stack[-1], items)
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(above_mark())
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS":
                items = above_mark()
                _extend(stack[-1], items)
            case "EMPTY_SET":
                stack.append(Foreign("builtins set", made=True))
            case "FROZENSET":
                above_mark()
                stack.append(Foreign("builtins frozenset", made=True))
            case "ADDITEMS" | "POP_MARK":
                above_mark()
            case "POP":
                if marks and marks[-1] == len(stack):
                    marks.pop()
                else:
                    stack.pop()
            case "DUP":
                stack.append(stack[-1])
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name:  # EXT1 and its like name classes by number; out-of-band buffers do not come from a file
                raise DamagedError(f"torch.save writes no {name}")
    raise DamagedError("its description does not end")


def _set_items(target: Any, items: list[Any]) -> None:
    """Only text is kept as a key: nothing else can be asked for, and hashing what a file made up may take for ever."""
    if isinstance(target, dict):
        target.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, str))


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)


def _storage(persistent_id: Any) -> Storage | Foreign:
    """torch.save's ("storage", storage class, key, device, number of elements)."""
    match persistent_id:
        case ("storage", Foreign(name=kind), str(key), _, int(elements)):
            return Storage(key, kind, elements)
    return Foreign("persistent id", made=True)


def _outcome(callee: Any, arguments: Any) -> Any:
    """What calling `callee` would give, for the few that a state dict is made by. None of them is really called."""
    if not isinstance(callee, Foreign) or callee.made:
        return Foreign("object", made=True)
    match callee.name, arguments:
        case "collections OrderedDict", ():
            return {}
        case "torch._utils _rebuild_tensor_v2" | "torch._utils _rebuild_tensor", (
            Storage() as storage,
            at,
            shape,
            by,
            *_,
        ):
            return Tensor(storage, at, shape, by)
        case "torch._utils _rebuild_parameter" | "torch._utils _rebuild_parameter_with_state", (tensor, *_):
            return tensor
    return Foreign(callee.name, made=True)
