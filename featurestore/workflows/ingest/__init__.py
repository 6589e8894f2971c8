"""From sources to the history: what a run computes, how it is recorded, and the run itself."""
