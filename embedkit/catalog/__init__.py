"""The catalog: a DuckDB file, and the only SQL in embedkit."""

from embedkit.catalog.lease import Catalog as Catalog
