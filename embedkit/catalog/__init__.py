"""The catalog: the DuckDB file of a workspace, and the only SQL in embedkit."""

from embedkit.catalog.lease import Catalog as Catalog
from embedkit.catalog.reader import Reader as Reader
from embedkit.catalog.records import BackboneSnapshot as BackboneSnapshot
from embedkit.catalog.records import Batch as Batch
from embedkit.catalog.records import FileFacts as FileFacts
from embedkit.catalog.records import ImageRow as ImageRow
from embedkit.catalog.records import KnownImages as KnownImages
from embedkit.catalog.records import LiveFile as LiveFile
from embedkit.catalog.records import PendingFile as PendingFile
from embedkit.catalog.records import PendingFiles as PendingFiles
from embedkit.catalog.records import Revision as Revision
from embedkit.catalog.records import Scope as Scope
from embedkit.catalog.records import StoredVerdict as StoredVerdict
