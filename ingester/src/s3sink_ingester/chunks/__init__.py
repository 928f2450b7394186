"""The chunk state machine. Pure: it mutates at once and returns what is to be done; the store does it.

A chunk is what one partition received in one window. Its life:

    open ──close──► closed ──encode──► sealed ──upload──► done
      │ place → commit | abort      (nothing is appended any more)

``place`` gives every payload of a group its chunk; ``commit`` makes it count after the sync, ``abort`` takes it back.
Between the two the chunk is *in flight*, and a closed chunk isn't sealed before it has landed. Recovery feeds the same
table (``restore``), so that a restart and a live process can't disagree.
"""

from __future__ import annotations

from s3sink_ingester.chunks.chunk import Chunk, Now, Pending, chunk_path
from s3sink_ingester.chunks.group import Group, Placement
from s3sink_ingester.chunks.table import PART_OVERHEAD, ChunkTable

__all__ = ["PART_OVERHEAD", "Chunk", "ChunkTable", "Group", "Now", "Pending", "Placement", "chunk_path"]
