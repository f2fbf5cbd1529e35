"""What a page says, read from its HTML."""

from html.parser import HTMLParser

from starlette.testclient import TestClient

_EMPTY = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """The texts of a page.

    Attributes:
        texts: Texts by the element around them, in order: by its class, by `#id` and by `<tag>`.
        elements: Every element with its attributes, in order.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(html)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.elements.append((tag, told))
        if tag not in _EMPTY:
            names = [*told.get("class", "").split(), *([f"#{told['id']}"] if "id" in told else []), f"<{tag}>"]
            self._open.append((tag, names))
            for name in names:
                self.texts.setdefault(name, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        for _, names in self._open:
            for name in names:
                self.texts[name][-1] += data

    def said(self, name: str) -> str:
        """The one text of a class, a tag or an id, in one line."""
        [text] = self.texts[name]
        return " ".join(text.split())

    def values(self, name: str) -> list[str]:
        """The values of all fields and buttons of a name."""
        return [told["value"] for _, told in self.elements if told.get("name") == name]


def read(client: TestClient, path: str, status: int = 200) -> Page:
    """The page at a path."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return Page(answer.text)
