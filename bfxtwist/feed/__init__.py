"""Where data comes in: sockets and REST, handed to the core."""
