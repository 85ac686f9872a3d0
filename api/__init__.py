"""The read side: a proxy that answers from Engram what is proven, and all else from PostgreSQL. Async, unlike the bridge."""
