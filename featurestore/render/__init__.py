"""One result in three forms: documents for programs, renderables for people, Markdown for pages. No work is done here.

What two forms share is beside them: numbers in words, statistics, verdicts, charts, the unified diff.
"""
