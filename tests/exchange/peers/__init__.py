"""Programs that run other people's clients against an exchange. Each has a Python of its own: nothing of bfxtwist is imported."""
