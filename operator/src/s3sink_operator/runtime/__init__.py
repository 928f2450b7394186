"""The process: what wakes it, queues, times and watches over its work, and how it starts and stops.

`run` starts everything in order; `handlers` (kopf) and `watching` wake the `workqueue`, whose workers `service` lets
reconcile, one pass a sink at a time; `upgrades` says whose turn it is to roll to a new image.
"""
