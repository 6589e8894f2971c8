"""The face in a terminal: the features, their versions, their drift and the runs, to look at and to act on."""
