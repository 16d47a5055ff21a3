"""Chart text made safe for a card: cleaned, cut, and escaped for Markdown and HTML.

Clients render a card's detail as GitHub Markdown, and the public Sandbox renders raw HTML
inside it (quirk 54, R-CARD-05). So nothing that came from a chart may become a link, an
image, a heading, a table, code or a tag.
"""

import re
import unicodedata

# Cc control, Cf format (bidi, zero-width, soft hyphen, tags), Co private use, Cs surrogate,
# Cn unassigned: none of them has a place in words shown to a clinician.
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
# Variation selectors and the fillers that render as nothing are marks or letters to Unicode.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5") | frozenset(
    map(chr, (*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_SPACES = re.compile(r"\s+")
# No text that a card shows is longer; reading no further keeps the work bounded.
_MAX_READ = 2_000

# Punctuation with a meaning anywhere in a line. Brackets alone stop links and images, so
# parentheses and "!" may stay as they are: the text is also read raw, by people.
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_LINE_START = re.compile(r"^([-+#=])")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])")
# GitHub and others link what merely looks like an address: scheme:x, //x, www.x, x.tld, a@b.
_SCHEME = re.compile(r"(?<=\w):(?=[^\s\d])")
_DOUBLE_SLASH = re.compile("//")
_DOMAIN_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d])")
# A backslash before "@" does not stop GitHub's e-mail links; blanks do.
_MAIL = re.compile(r"(?<=\S)@(?=\S)")
_ENTITY = re.compile(r"&(?=[#\w])")
# Summaries and labels are plain text, but not every client treats them so.
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_HTTPS = re.compile(
    r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})(?::[0-9]{1,5})?(?:[/?][!#-;=?-\[\]_a-z~]{0,1500})?"
)


def clean(text: str, limit: int) -> str:
    """Return plain words on one line, at most `limit` characters, cut with "…".

    Control, bidirectional and zero-width characters are dropped, whitespace is folded, and what
    could begin an HTML tag is taken apart.
    """
    words = _TAG_START.sub("< ", _SPACES.sub(" ", _visible(text[:_MAX_READ])).strip())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if c.isspace() else c
        for c in text
        if c.isspace() or (unicodedata.category(c) not in _INVISIBLE and c not in _BLANKS)
    )


def https_address(text: str) -> str:
    """Return an address that a card may link to as it is; empty for any other (R-LINK-06).

    Absolute https, without a user name, and in characters that mean nothing to a page.
    """
    return text if _HTTPS.fullmatch(text) else ""


def markdown(text: str) -> str:
    """Escape text so that GitHub Markdown shows it as it is, on one line, as text only."""
    line = _SPACES.sub(" ", text).strip()
    line = _MAIL.sub(" @ ", line)
    line = _MARKUP.sub(r"\\\1", line)
    line = _LINE_START.sub(r"\\\1", line)
    line = _NUMBERED.sub(r"\1\\\2", line)
    line = _DOUBLE_SLASH.sub(r"/\\/", line)
    line = _SCHEME.sub(r"\\:", line)
    line = _DOMAIN_DOT.sub(r"\\.", line)
    line = _ENTITY.sub("&amp;", line)
    return line.replace("<", "&lt;").replace(">", "&gt;")
