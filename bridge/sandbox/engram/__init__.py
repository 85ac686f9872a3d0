"""A double of the Engram server: its HTTP and gRPC interfaces on real sockets, with the real server's bad habits.

What it does was learnt by trying the real one; where the two differ, the contract tests are wrong or this is.
It is for trying and testing: everything is in memory, guarded by nothing but the one thread it runs in.
"""
