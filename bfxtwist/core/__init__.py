"""What the data means: no I/O, no clock, no Twisted. Time comes in as an argument."""
