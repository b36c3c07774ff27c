"""Bitfinex market data that can be trusted."""

__version__ = "0.1.0"
