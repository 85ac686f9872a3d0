"""`make bench`: how fast the bridge is, each figure a ratio inside one run. Nothing here is a test.

Absolute numbers of two machines, or of one machine on two days, cannot be compared; so each figure is measured beside the least
that the same work could cost (the same WAL read by `pg_recvlogical`, the same table by a bare COPY, the same writes and reads by
a bare loop), in turns, several times, and the median of the ratios is what counts.
"""
