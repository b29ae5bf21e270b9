"""Credentials of known forms in texts, so that they can be kept out of a journal or erased from it.

Only forms that their issuers document and that nothing else resembles are searched. So a hit is a credential, and
a secret without such a form (a password in prose) is not found. Sources: the issuers' pages on token formats, RFC
7468 (PEM), RFC 7519 (JWT), RFC 3986 (user information in URLs).

LAW-SECRET-1: the result of `hide` holds no credential of a known form, and a text without any is returned unchanged.
"""

from __future__ import annotations

import re
from typing import Final

import attrs


@attrs.frozen
class Form:
    """One form of credential: no text without `mark` holds one, so that few texts are searched with the pattern."""

    name: str
    mark: str
    pattern: re.Pattern[str]

    @property
    def stand_in(self) -> str:
        """Text in place of a credential that was hidden."""
        return f"[{self.name} hidden]"


def _form(name: str, mark: str, pattern: str) -> Form:
    return Form(name, mark, re.compile(pattern))


FORMS: Final = (
    _form(
        "private key",
        "PRIVATE KEY-----",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
        r"(?:[A-Za-z0-9+/=\s:,\\-]{0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]{0,20000})",
    ),
    _form("AWS key", "AKIA", r"AKIA[A-Z2-7]{16}(?![A-Z0-9])"),
    _form("AWS key", "ASIA", r"ASIA[A-Z2-7]{16}(?![A-Z0-9])"),
    _form("GitHub token", "gh", r"gh[opsur]_[A-Za-z0-9]{36,255}"),
    _form("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{60,255}"),
    _form("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,255}"),
    _form("Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    _form("Anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,255}"),
    _form("OpenAI key", "T3BlbkFJ", r"sk-[A-Za-z0-9_-]{10,200}T3BlbkFJ[A-Za-z0-9_-]{10,200}"),
    _form("Google key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _form("Stripe key", "k_live_", r"[rs]k_live_[A-Za-z0-9]{20,255}"),
    _form("npm token", "npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _form("PyPI token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,255}"),
    _form("Hugging Face token", "hf_", r"hf_[A-Za-z]{34}(?![A-Za-z])"),
    _form("JWT", "eyJ", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _form("URL password", "://", r"://[^\s/:@'\"<>]{1,80}:[^\s/@'\"<>\[]{3,120}@(?=[\w.-])"),
)
"""The forms that are known, in the order in which they are searched for."""


def holds_secret(text: str) -> bool:
    """Tell whether a text holds a credential of a known form."""
    return any(form.mark in text and form.pattern.search(text) for form in FORMS)


def hide(text: str) -> tuple[str, int]:
    """The text with each credential replaced by its kind in brackets, and how many there were."""
    count = 0
    for form in FORMS:
        if form.mark in text:
            text, found = form.pattern.subn(form.stand_in, text)
            count += found
    return text, count
