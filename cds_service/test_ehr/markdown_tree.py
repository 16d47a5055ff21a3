"""Card detail (Markdown) as a tree of allowed elements, from which a page builds its nodes.

No string of HTML ever exists, so nothing of a chart can become markup. Source: CDS Hooks 2.0, Card:
`detail` is GitHub Flavored Markdown.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_ELEMENTS = {
    "blockquote": "blockquote",
    "bullet_list": "ul",
    "code_block": "pre",
    "code_inline": "code",
    "em": "em",
    "fence": "pre",
    "hardbreak": "br",
    # A heading within a card stands below the card's own.
    "heading": "h4",
    "hr": "hr",
    "list_item": "li",
    "ordered_list": "ol",
    "paragraph": "p",
    "strong": "strong",
    "table": "table",
    "tbody": "tbody",
    "td": "td",
    "th": "th",
    "thead": "thead",
    "tr": "tr",
}


def markdown_tree(text: str) -> list[object]:
    """Return the nodes of a Markdown text: strings, and `{"tag", "children"}`, links with `href`.

    What has no allowed element, HTML and images for instance, is shown as the text that it is.
    """
    return list(_nodes(SyntaxTreeNode(_MARKDOWN.parse(text))))


def _nodes(parent: SyntaxTreeNode) -> Iterator[object]:
    for node in parent.children:
        if node.type == "link":
            yield _link(node)
        elif node.type == "paragraph" and node.hidden:
            # A tight list: its items have no paragraphs of their own.
            yield from _nodes(node)
        elif node.type in _ELEMENTS:
            children = list(_nodes(node)) if node.children else _text(node)
            yield {"tag": _ELEMENTS[node.type], "children": children}
        elif node.children:
            yield from _nodes(node)
        else:
            yield from _text(node)


def _text(node: SyntaxTreeNode) -> list[object]:
    text = "\n" if node.type == "softbreak" else node.content
    return [text] if text else []


def _link(node: SyntaxTreeNode) -> object:
    """Return a link to an http address; any other is a word with its address behind it."""
    address = str(node.attrs.get("href", ""))
    words = list(_nodes(node))
    if urlsplit(address).scheme in ("http", "https"):
        return {"tag": "a", "href": address, "children": words}
    return {"tag": "span", "children": [*words, f" ({address})"]}
