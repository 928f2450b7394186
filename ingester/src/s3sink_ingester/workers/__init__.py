"""Several processes on one data port (`workers: N`), each with a volume of its own.

A supervisor holds the port, starts the workers, starts again what ends by itself, and is the one admin port for all:
its answers have the shape of one process's. It never touches a volume, so it can't be what loses a record. A worker
(`child`) gets its settings and its life through a pipe: when the supervisor is gone, the pipe ends, and so do they.

`layout` says where volumes lie, also for `drain` and `inspect`. With one worker and nothing left over there is no
supervisor: the process serves its volume itself.
"""
