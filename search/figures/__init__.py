"""The pictures of a report. Object-oriented matplotlib only: no global figure, no display."""
