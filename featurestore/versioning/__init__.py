"""What a version is: the closure of a feature's code, its canonical form, its hash, its file.

Standard library only; runs no user code except in `replay`.
"""
