"""`python -m tests.reliability > docs/reliability.md`."""

import sys

from tests.reliability.document import document

if __name__ == "__main__":
    sys.stdout.write(document())
