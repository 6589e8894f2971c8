"""From the history to what readers are served: the sync of the two stores, and the reader.

A sync has three lifetimes, each a module: the `request` (what was asked), an `attempt` (one pass over the stores, made
again where another writer came between), and the `totals` (what all attempts did). `sync` is the loop.
"""
