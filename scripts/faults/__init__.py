"""Parts of ``check_faults.py``: the commands and their workspaces, what they leave, strace."""
