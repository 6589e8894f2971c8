"""The whole history, the audit log and the versions in one file, and back."""
