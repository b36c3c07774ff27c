"""What can go wrong, what happens then, and which tests show it: the table of docs/reliability.md and its generator."""
