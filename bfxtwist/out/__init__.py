"""Where data leaves: HTTP and the trade file, read from the core."""
