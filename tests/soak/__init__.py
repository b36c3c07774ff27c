"""Real daemons under an exchange that misbehaves, for as long as it is told: `python -m tests.soak --minutes 30`."""
