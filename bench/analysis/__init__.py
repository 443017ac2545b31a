"""Statistics of scores: float arrays [seeds, images] of one method, data set, metric and protocol.

Chance has two levels, trainings (seeds) and images. Every method scores the same images in the same order.
"""
