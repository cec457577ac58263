"""Makes text that others wrote safe to show in a title, a message or a terminal."""

from __future__ import annotations

import re

# Terminal escapes: CSI (ESC [ ... letter), OSC (ESC ] ... BEL or ESC \), and two-byte escapes; also their 8-bit forms.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-Z\\^-~]"
)
# An escape that the end of the window cut in two; its rest would be shown as text.
_CUT = re.compile(r"(?:\x1b\[?|\x9b)[ -?]*\Z")
_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# What changes how its neighbours look, or cannot be seen or encoded: C0 and C1 controls, zero-width characters,
# bidirectional marks, embeddings and isolates, tags, surrogates, the byte order mark.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def neutralised(text: str, length_max: int) -> str:
    r"""Return `text` on one line, without anything that hides, reorders or colours it.

    Terminal escapes are dropped, line breaks become a space, other invisible characters become U+FFFD.

    Args:
        text: as it was found in a log line, a name, an answer.
        length_max: characters of the result; a longer text ends in an ellipsis.

    >>> neutralised("ok\x1b[31m red\nnext", 40)
    'ok red next'
    """
    window = text[: 4 * length_max + 64]  # an escape-laden line must not cost more than its shown part deserves
    bare = _ANSI.sub("", window)
    if len(window) < len(text):
        bare = _CUT.sub("", bare)
    plain = _HIDDEN.sub("\ufffd", _SPACE.sub(" ", bare))
    if len(plain) <= length_max and len(window) == len(text):
        return plain
    return plain[: length_max - 1].rstrip() + "…"
