"""Tables, figures and pages, redrawn from an experiment's results folder alone.

results.py reads the folder; table.py is the one table model, with a renderer a file (markdown.py, latex.py,
csv_file.py) and a builder a kind of table (ablation.py); curves.py and faces.py draw; published.py reads the published
numbers; build.py puts a report together. Nothing here imports torch; importing this package imports nothing heavy.
"""
