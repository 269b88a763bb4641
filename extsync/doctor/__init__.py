"""``extsync doctor``: the troubleshooting of a Service's endpoints, step by step.

``gathering/`` reads facts of the cluster, each with a deadline; what cannot be read is a fact too. ``checks/`` makes
findings of them: pure functions, a module for each theme. Nothing here writes.
"""
