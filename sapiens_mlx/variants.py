"""What can be compared: a network at a size and a level, as text "0.4b:bf16"; and which of several is the reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import inventory, runtime, zoo
from .errors import SapiensError

MOST = 10  # at once


@dataclass(frozen=True)
class Variant:
    """A size and a level of zoo.py."""

    size: str
    level: str

    @classmethod
    def parse(cls, text: str, size: str | None = None) -> "Variant":
        """From "0.4b:bf16", or from a level alone where `size` is given.

        Raises:
            SapiensError: for anything else, and for a name that is not in the tables.
        """
        first, colon, second = (part.strip() for part in text.partition(":"))
        if not colon and size is not None:
            first, second = size, first
        if not first or not second:
            raise SapiensError(f"{text!r} is no variant. Write a size and a level, such as 0.4b:bf16.")
        if first not in (*zoo.SIZES, zoo.WILOR.name):
            raise SapiensError(f"There is no size {first!r}. Choose one of: {', '.join(zoo.SIZES)}.")
        return cls(first, zoo.level(second).name)

    def of_task(self, task: str) -> "Variant":
        """The same for a task that comes in one size, whatever size was said."""
        return replace(self, size=zoo.WILOR.name) if task == zoo.HANDS.name else self

    @property
    def parameters(self) -> int:
        return zoo.size_row(self.size).parameters

    def __str__(self) -> str:
        return f"{self.size}:{self.level}"


def parse_list(levels: str | None, size: str, variants: str | None) -> list[Variant]:
    """Those of `levels` ("fp32,4bit", at `size`), then those of `variants` ("0.4b:bf16,1b:4bit"). Raises as parse."""
    parsed = [Variant.parse(text, size) for text in (levels or "").split(",") if text.strip()]
    return parsed + [Variant.parse(text) for text in (variants or "").split(",") if text.strip()]


def check(variants: Sequence[Variant], reference: Variant | None) -> None:
    """Raises SapiensError unless these are 2 to 10 different ones, a reference beside them counted."""
    twice = [one for index, one in enumerate(variants) if one in variants[:index]]
    if twice:
        raise SapiensError(f"{twice[0]} is listed twice. List each variant once.")
    if len(variants) > MOST:
        raise SapiensError(f"{len(variants)} variants are too many. List at most {MOST}.")
    if not variants or {*variants} == {reference or variants[0]}:
        alone = f"{variants[0]} would be compared with itself" if variants else "There is nothing to compare"
        raise SapiensError(f"{alone}. List 2 to {MOST} different variants, such as demo:fp32 and demo:4bit.")


def chosen(reference: Variant | str, variants: Sequence[Variant]) -> Variant:
    """The reference that was asked for. A level alone is looked for among the variants, at the largest size."""
    if isinstance(reference, Variant):
        return reference
    if ":" in reference:
        return Variant.parse(reference)
    level = zoo.level(reference.strip()).name
    sizes = [one for one in variants if one.level == level] or variants
    return Variant(max(sizes, key=lambda one: one.parameters).size if sizes else zoo.DEFAULTS.size, level)


def most_precise(variants: Sequence[Variant]) -> Variant:
    """The one with the most bits a weight, of those that fit the memory; among equals the largest size."""
    order = list(zoo.LEVELS)

    def rank(variant: Variant) -> tuple[bool, int, int, int]:
        row = zoo.level(variant.level)
        fits = inventory.needed_bytes(variant.size, variant.level) <= runtime.memory_limit_bytes()
        return fits, row.bits or row.float_bits, -order.index(row.name), variant.parameters

    return max(variants, key=rank)
