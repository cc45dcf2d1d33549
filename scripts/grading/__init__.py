"""What scripts/grade.py is made of: hand-ins (handins.py), the sandbox (sandbox.py), runs and their checks (trial.py),
printed times and scores (times.py), and the pages that come out (results.py)."""
