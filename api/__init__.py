"""The read side: a proxy that answers from Engram what is proven, and everything else from PostgreSQL. Async, unlike the bridge."""
