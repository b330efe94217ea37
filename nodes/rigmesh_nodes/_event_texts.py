"""Other texts for events."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["TextRules"]

_MOST = 1024


class TextRules:
    """Rewrites texts.

    Parameters
    ----------
    mapping : mapping of str to str
        New texts by old ones.
    pattern : str
        Regular expression, looked for in the texts that the mapping does not have; empty: none.
    replacement : str
        What replaces each place where it is found.
    prefix : str
        Put before each text that is not dropped.
    drop : bool
        Whether texts are dropped that have no new one.

    Raises
    ------
    re.error
        If the pattern is no regular expression, or the replacement does not fit it.
    """

    def __init__(
        self,
        mapping: Mapping[str, str],
        pattern: str = "",
        replacement: str = "",
        prefix: str = "",
        *,
        drop: bool = False,
    ) -> None:
        self._mapping = mapping
        self._pattern = re.compile(pattern) if pattern else None
        self._replacement = replacement
        self._prefix = prefix
        self._drop = drop
        self._known: dict[str, str | None] = {}
        if self._pattern is not None:
            try:
                self._pattern.sub(replacement, "")
            except IndexError as error:
                raise re.error(str(error)) from error

    def __call__(self, text: str) -> str | None:
        """Return the new text, or None for a text to be dropped."""
        known = self._known
        if text not in known:
            if len(known) >= _MOST:  # texts that tell values never end
                known.clear()
            known[text] = self._rewritten(text)
        return known[text]

    def _rewritten(self, text: str) -> str | None:
        if text in self._mapping:
            return self._prefix + self._mapping[text]
        if self._pattern is not None and self._pattern.search(text):
            return self._prefix + self._pattern.sub(self._replacement, text)
        return None if self._drop else self._prefix + text
