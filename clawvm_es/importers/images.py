"""Images and documents in recorded messages → media type, size and digest; their bytes are not kept."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final

from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Image

BLOCKS: Final = frozenset(("image", "document"))
"""Types of Anthropic's blocks that hold an image or a document."""


def encoded(media_type: str, data: str) -> Image:
    """An image with bytes in base64; if the text is not base64, size and digest are those of the text."""
    try:
        content = base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        content = data.encode("utf-8", "surrogatepass")
    return Image(media_type, len(content), sha256(content).hexdigest())


def of_url(url: str) -> Image:
    """An image at a URL, which may be a `data:` URL with its bytes."""
    if not url.startswith("data:"):
        return Image(url=url)
    head, _, data = url.removeprefix("data:").partition(",")
    return encoded(head.removesuffix(";base64"), data)


def of_block(block: Fields) -> Image:
    """The image or document of an Anthropic block."""
    source = block.fields("source")
    if source.is_text("data"):
        return encoded(source.text("media_type"), source.text("data"))
    return Image(source.text("media_type") or block.text("type"), url=source.text("url") or source.text("file_id"))
