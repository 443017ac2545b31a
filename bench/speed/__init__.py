"""What published code does, written plainly from descriptions of it: benchmarks and tests compare ours with it.

Nothing here is used to train or to score, and nothing is copied.
"""
