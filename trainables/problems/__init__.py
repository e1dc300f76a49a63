"""Data with splits, a loss and a score; planted answers; wrappers that compose.

Importing this package loads nothing heavy.
"""

from trainables.problems.discovery import Entry, Part, config_class, entries, names, wrapper_names

__all__ = ["Entry", "Part", "config_class", "entries", "names", "wrapper_names"]
