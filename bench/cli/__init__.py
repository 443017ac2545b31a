"""The commands of `fsr`, a file for each group.

Nothing here imports torch before a command needs it.
"""
