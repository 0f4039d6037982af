"""Text that comes from a model, made safe to look at: names may hold anything at all."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""What cannot be seen, or moves what stands beside it, written out as Python would.

    Control characters, line ends, marks that turn the direction of writing, characters of no width,
    spaces of odd widths, halves of surrogate pairs.

    >>> print(visible("relu\n\u202eevil\x1b[31m"), visible("Größe"))
    relu\n\u202eevil\x1b[31m Größe
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def encodable(text: str) -> str:
    r"""The text as it is, but for halves of surrogate pairs, which no encoding has: written out.

    >>> print(encodable("a\ud800b"))
    a\ud800b
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them an ellipsis where some are left out.

    >>> shortened("abcdef", 4), shortened("abcd", 4)
    ('abc…', 'abcd')
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
