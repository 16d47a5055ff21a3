"""Chart text in cards: cleaned, cut, and never anything but text (quirk 54, R-CARD-05)."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cds_service.card_text import clean, markdown

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn"}
_PUNCTUATION = st.text(alphabet="\\`*_{}[]()#+-.!|~<>&@:/=\"'$^;,? \n\tab1wxh", max_size=60)
_TEXTS = st.one_of(st.text(max_size=80), _PUNCTUATION)
_ADDRESS = re.compile(r"(?i)\bwww\.\w|\b[a-z]+:[a-z/]|\w\.[a-z]|\S@\S")


def _rendered(text: str) -> tuple[list[Token], str]:
    """Return the block tokens of a list item that holds the text, and the text it shows."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"- {text}")
    inline = [child for block in blocks for child in block.children or ()]
    return blocks + inline, "".join(token.content for token in inline)


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        pytest.param("Low\u202eback\u200b pain\x00", 40, "Lowback pain", id="invisible-characters"),
        pytest.param("  a\r\n\tb  c ", 40, "a b c", id="whitespace-is-folded"),
        pytest.param("x" * 10, 10, "x" * 10, id="just-fits"),
        pytest.param("x" * 11, 10, "x" * 9 + "…", id="cut"),
        pytest.param("abcdefgh jk", 10, "abcdefgh…", id="cut-leaves-no-blank"),
        pytest.param("", 10, "", id="empty"),
        pytest.param("\ud800a", 10, "a", id="lone-surrogate"),
        pytest.param("a\U000e0041b", 10, "ab", id="tag-characters"),
        pytest.param("Rückenschmerz", 40, "Rückenschmerz", id="letters-of-other-languages-stay"),
    ],
)
def test_clean_leaves_one_short_visible_line(text: str, limit: int, shown: str) -> None:
    assert shown == clean(text, limit)


@given(_TEXTS, st.integers(min_value=1, max_value=100))
def test_cleaned_text_is_short_and_has_only_visible_characters(text: str, limit: int) -> None:
    words = clean(text, limit)

    assert len(words) <= limit
    assert words == words.strip()
    assert not {c for c in words if unicodedata.category(c) in _INVISIBLE}
    assert "\n" not in words


@given(_TEXTS)
@example("[x](javascript:alert(1))")
@example("<script>alert(1)</script>")
@example("![x](http://a.b/c.png)")
@example("# heading")
@example("1. one")
@example("- - - -")
@example("    code")
@example("`code` and ```more```")
@example("<https://example.org>")
@example("&lt;b&gt;")
@example("a | b\n--- | ---\n1 | 2")
@example("[x]: https://example.org\n\n[x]")
@example("~~struck~~ **bold** _slanted_")
@example("line\\\nbreak")
def test_escaped_text_is_shown_as_text_and_nothing_else(text: str) -> None:
    plain = clean(text, 200)
    escaped = markdown(plain)
    tokens, shown = _rendered(escaped)

    assert {t.type for t in tokens} <= {
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }
    assert re.sub(r"\s*@\s*", "@", plain) == re.sub(r"\s*@\s*", "@", shown)
    assert "<" not in escaped
    assert ">" not in escaped


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/x",
        "www.example.org",
        "mailto:a@example.org",
        "javascript:alert(1)",
        "someone@example.org",
        "example.org",
        "ftp://example.org",
    ],
)
def test_addresses_are_broken_up_because_clients_link_what_looks_like_one(text: str) -> None:
    assert _ADDRESS.search(text)
    assert not _ADDRESS.search(markdown(text))


@pytest.mark.parametrize(
    "text",
    [
        "Low back pain since 2026-03-06 (10 days)",
        "L4/L5, strength 4.5 of 5 at 10:30; CRP 12 mg/L!",
        'Said "no numbness" - worse at night',
    ],
)
def test_ordinary_chart_text_stays_readable_raw(text: str) -> None:
    assert text == markdown(text)
