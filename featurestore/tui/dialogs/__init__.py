"""What opens over a place: keys, a command line, a choice, an action."""
