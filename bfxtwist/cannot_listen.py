"""How a daemon ends whose address cannot be had."""


class CannotListen(SystemExit, Exception):
    """One line that names the fix.

    A SystemExit, so that `twistd -n` ends with that line, without a traceback and with exit code 1; an Exception too, since
    that is what twistd looks for before it tells the process that waits for its daemon, which would wait for ever.
    """
