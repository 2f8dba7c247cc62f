"""Parts of ``check_faults.py``: commands and their workspaces, states, and strace."""
