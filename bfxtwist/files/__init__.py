"""Offline work on trade files: `python -m bfxtwist verify`, `merge` and `sort`. No Twisted, and no daemon, needed."""
