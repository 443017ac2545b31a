"""Search for hyper-parameters by Optuna: trials of one method, with or without early stopping.

A search is no ablation. Its trials may be stopped early, which is what makes it cheap; the rows of an ablation never
are, because rows are only comparable with equal budgets. Trials are chosen on validation faces; test faces are not
looked at. The run folders are the only state: a search that goes on draws its trials again and finds what they reached.
"""
