"""From the history to what a reader is served: the sync protocol and the reader."""
