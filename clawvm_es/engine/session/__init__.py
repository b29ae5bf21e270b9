"""A live session: `Session`, and the hooks that a harness calls, by their use."""

from clawvm_es.engine.session.handle import now_us
from clawvm_es.engine.session.live import Session, other_settings

__all__ = ["Session", "now_us", "other_settings"]
