"""The other side of the protocol: a small Bitfinex on real sockets."""
