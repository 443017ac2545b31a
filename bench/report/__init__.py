"""Tables, figures and pages, redrawn from an experiment's results folder alone.

table.py is the one table model, with a renderer a file (markdown.py, latex.py, csv_file.py) and a builder a kind of
table (ablation.py); gains.py, factorial.py, capacity.py and sensitivity.py build further pages; curves.py, dots.py and
faces.py draw; build.py puts a report together.
Nothing here imports torch; importing this package imports nothing heavy.
"""
