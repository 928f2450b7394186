"""From the files of a volume to the state that they hold. Runs in a thread before the store opens, and again in place
when the journal failed.

``read_state`` only reads: the base snapshot, then every frame behind it (see ``journal``). ``repair`` cuts the chunk
files back to what the base says of them; what the frames hold behind that becomes pending, as if it had just been
committed and not kept in memory, and the first checkpoint writes it. So recovery needs no room on the disk, may be
interrupted anywhere, and the segments it read stay until that checkpoint is done. What is damaged is moved aside,
never deleted.
"""

from __future__ import annotations

from s3sink_ingester.recovery.reading import Progress, read_state
from s3sink_ingester.recovery.repair import NOTE_SUFFIX, Repaired, repair
from s3sink_ingester.recovery.state import State

__all__ = ["NOTE_SUFFIX", "Progress", "Repaired", "State", "read_state", "repair"]
