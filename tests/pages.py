"""Pages as a browser sees them."""

import base64
from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects (tag, attributes) and the text; fails on tags that are not closed in order."""

    VOID = {"meta", "img", "link", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def embedded(self, tag: str) -> list[bytes]:
        sources = [attributes["src"] for name, attributes in self.elements if name == tag]
        return [base64.b64decode(source.split(",", 1)[1], validate=True) for source in sources]
