"""Programs that run other people's clients against an exchange, each with a Python of its own."""
