"""Changes to the catalog: one class for each group of tables.

All of them run inside the one transaction of :meth:`embedkit.catalog.Catalog.write`.
"""
