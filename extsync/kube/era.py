"""Times between which a server's data went back, as after a restore from a backup: shared by all who read from it.

Who reads one kind may not see it by itself. If others have written enough by the time it looks, its version is again
one that may be gone on from, in a history that is not the one it was read from.
"""

from __future__ import annotations


class Era:
    """``number`` is that of the present one."""

    def __init__(self) -> None:
        self.number = 0

    def ended(self, number: int) -> None:
        """Somebody who has read in era ``number`` sees that the data went back; several may see the same."""
        if number == self.number:
            self.number += 1
