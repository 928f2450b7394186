"""The journal of one volume: what makes a 2xx true.

Invariants
    1. Acked means that fdatasync returned for a frame that holds every record of the request.
    2. A frame is the unit of atomicity: requests, seals and uploads that were gathered while the last sync ran
       become one frame with one checksum. After a crash it is there as a whole or not at all.
    3. One frame at most is not yet synced (more if durability is Relaxed). So damage can be a torn tail only at the
       last frame of the last segment; anywhere else it is corruption, and is reported and kept, never skipped in
       silence.
    4. The oldest segment on disk is the base: its first frame is a snapshot of the whole state, and the chunk files
       are durable up to the lengths that the snapshot names. A segment is deleted only after everything that its
       frames say is durable elsewhere. So recovery reads from the base to the end and needs no other memory.
    5. A failed write or sync poisons the log: nothing more is written through that descriptor; the volume is
       recovered by reading it again.

Layout (byte for byte in docs/format.md)
    segment = header (64 bytes) | snapshot frame | group frame*          journal/<id, 16 hex digits>.seg
    frame   = magic u32 | length u32 | crc32 of the body u32 | type u8, 3 x 0 | sequence u64 | crc32 of these u32 | body
    The checksums start from a random salt in the segment's header, so neither a client's payload that looks like
    a frame nor blocks of an older file can be taken for one.

Limits: a frame's body is less than 4 GiB; a segment has room for its snapshot plus ``segment_bytes``; chunk ids and
sequences are u64 and never used twice in the life of a volume.

``frame`` and ``entries`` are pure (bytes in, values out), ``segment`` reads and writes one file, ``log`` is the single
writer with its thread.
"""
