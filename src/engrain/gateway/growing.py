"""The text of an answer while its tokens come."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Growing:
    """The text of tokens that come one by one: each is decoded with those just before it, for what it says may depend on them."""

    def __init__(self, text_of: Callable[[Sequence[int]], str]) -> None:
        self._text_of = text_of
        self._text, self._known = "", ""
        self._tokens: list[int] = []
        """Since the piece before last; their text without what is new is `_known`."""
        self._before = 0

    def with_token(self, token: int) -> str:
        """The text so far; of a character that has not all of its tokens yet it ends with U+FFFD."""
        self._tokens.append(token)
        grown = self._text_of(self._tokens)
        text = self._text + grown[len(self._known) :]
        if len(grown) > len(self._known) and not grown.endswith("\ufffd"):
            self._text = text
            self._tokens = self._tokens[self._before :]
            self._before = len(self._tokens)
            self._known = self._text_of(self._tokens)
        return text
