"""Runnable examples: `python -m tfimportance.examples.finetune --help`."""
