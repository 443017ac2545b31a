"""The report for the browser: one self-contained HTML file that opens without a network.

`gather.py` and its helpers turn results into the records of `record.py`, which the page holds as JSON; `writer.py` puts
them into `page.html` with `style.css`, `page.js` and the libraries of `assets.py`.
"""
