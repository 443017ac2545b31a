"""Tables, figures and pages, redrawn from an experiment's results folder alone.

table.py is the one table model, written by markdown.py, latex.py, csv_file.py and html.py. columns.py holds the columns
that tables are put together from; tables.py lists those that stand beside a paper's, pages.py and modules.py those of
further pages, words.py says in words what they need. curves.py, dots.py and faces.py draw; page.py renders the pages,
draw.py puts a report together and build.py leaves it alone where nothing has changed. Nothing here imports torch;
importing this package imports nothing heavy.
"""
