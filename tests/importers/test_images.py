"""Images of recorded messages: type, size and digest, or where they are."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from clawvm_es.importers.images import encoded, of_block, of_url
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Image

PNG = Image("image/png", 3, sha256(b"abc").hexdigest())
BARE = Image("image/png", 4, sha256(b"no !").hexdigest())


@pytest.mark.parametrize(
    ("source", "image"),
    [
        ({"data": "YWJj", "media_type": "image/png"}, PNG),
        ({"data": "no !", "media_type": "image/png"}, BARE),
        ({"data": "YWJj"}, Image("", PNG.size_bytes, PNG.digest)),
        (
            {"url": "https://example.org/a", "media_type": "image/png"},
            Image("image/png", url="https://example.org/a"),
        ),
        ({"url": "https://example.org/a"}, Image("document", url="https://example.org/a")),
        ({"file_id": "f1"}, Image("document", url="f1")),
        ({"url": "https://example.org/a", "file_id": "f1"}, Image("document", url="https://example.org/a")),
        ({"data": 7}, Image("document")),
    ],
)
def test_blocks_of_anthropic(source: dict[str, Any], image: Image) -> None:
    """Bytes are counted and hashed; what is elsewhere has its place, and the block's kind if no type is told."""
    assert of_block(Fields({"type": "document", "source": source})) == image


def test_urls() -> None:
    """A `data:` URL holds its bytes, in base64 or as they are; any other is a place."""
    assert of_url("data:image/png;base64,YWJj") == encoded("image/png", "YWJj") == PNG
    assert of_url("data:image/png,no !") == BARE
    assert of_url("https://example.org/a.png") == Image(url="https://example.org/a.png")
