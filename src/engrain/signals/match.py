"""Verifiers that know the right answers: the same words, or the same number within a tolerance."""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from engrain.errors import InputError
from engrain.protocols import Finding
from engrain.records import Interaction

T = TypeVar("T")
UNASKED = Finding(score=None, reason="no right answer is known to this question")
_NUMBER = re.compile(
    r"(?<![\w.,])[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?!\d|[.,]\d)", re.A
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """Whether an answer is word for word the right one; a question that is not among `answers` cannot be told.

    Case, spaces, quotes around it and a full stop at its end do not count, unless `form`.
    """

    name: str
    answers: Mapping[str, str]
    """The right answer to each question, as it is asked; its case and spaces do not count."""
    form: bool = False
    _known: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", _by_question(self.answers))

    def verify(self, interaction: Interaction) -> Finding:
        right = self._known.get(_bare(interaction.query))
        if right is None:
            return UNASKED
        said, wanted = interaction.answer, right
        same = said == wanted if self.form else _bare(said) == _bare(wanted)
        return Finding(score=float(same), reason="the same" if same else "not the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """Whether the one number of an answer is the right one, within a tolerance; none is wrong, several cannot be told apart.

    A number is written with a point ("1,234.5" and "1.2e3" are numbers); units are not read, so 50 % is 50.
    """

    name: str
    answers: Mapping[str, float]
    absolute: float = 0.0
    """How far off it may be."""
    relative: float = 1e-9
    """How far off it may be, as a share of the greater of the two."""
    _known: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("absolute", self.absolute), ("relative", self.relative)):
            if not 0 <= value <= sys.float_info.max:
                raise InputError(f"{name}={value}; give a finite number of at least 0")
        if bad := [q for q, n in self.answers.items() if not abs(n) <= sys.float_info.max]:
            raise InputError(f"the answer to {bad[0]!r} is not a finite number")
        object.__setattr__(self, "_known", _by_question(self.answers))

    def verify(self, interaction: Interaction) -> Finding:
        right = self._known.get(_bare(interaction.query))
        if right is None:
            return UNASKED
        said = interaction.answer.replace("\u2212", "-")
        found = {float(n.replace(",", "")) for n in _NUMBER.findall(said)}
        if not found:
            odd = re.search(r"\d", said) is not None
            return Finding(
                score=None if odd else 0.0, reason="a number that cannot be read" if odd else "there is no number in it"
            )
        if len(found) > 1:
            return Finding(score=None, reason=f"cannot tell which of {len(found)} numbers is meant")
        same = math.isclose(found.pop(), right, rel_tol=self.relative, abs_tol=self.absolute)
        return Finding(score=float(same), reason="within the tolerance" if same else "another number")


def _by_question(answers: Mapping[str, T]) -> dict[str, T]:
    """The right answers by their bare questions; of two that are the same so, the first holds."""
    return {_bare(question): right for question, right in reversed(list(answers.items()))}


def _bare(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.strip("\"'`“”‘’ ").removesuffix(".").strip("\"'`“”‘’ ")
