"""What a version is: the closure of a feature's code, its canonical form, its hash, and its file.

Uses the standard library only. Only `running` runs user code.
"""
