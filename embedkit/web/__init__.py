"""The local web app and its JSON API.

It needs the extra ``web``: ``pip install 'embedkit[web]'``.
"""
