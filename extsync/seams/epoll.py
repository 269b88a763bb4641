"""The event bits of epoll_ctl(2), by number, so that modules which name them also import where there is no epoll."""

from __future__ import annotations

from typing import Final

IN: Final = 0x001
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDHUP: Final = 0x2000
ET: Final = 1 << 31
