"""Where methods of earlier versions look for `register`; new ones write `from bench import register`."""

from bench import register

__all__ = ["register"]
