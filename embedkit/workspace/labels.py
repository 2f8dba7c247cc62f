"""The namespace ``workspace.labels``."""

from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.ingest import labels
from embedkit.results import LabelReport
from embedkit.workspace.state import StrPath, WorkspaceBase


class Labels(WorkspaceBase):
    """Labels of the files in the workspace. :meth:`Workspace.info` counts them."""

    def from_csv(self, path: StrPath, *, root: StrPath | None = None) -> LabelReport:
        """Label files from a CSV with the columns ``path`` and ``label``.

        Other columns are stored too; :meth:`Workspace.split` can keep photos with the same value
        together. Labels from a CSV take precedence over labels from folders, and follow the bytes
        of a file that is moved or renamed.

        Parameters
        ----------
        path : str or path-like
            The CSV, in UTF-8 or UTF-16, with commas, semicolons or tabs.
        root : str or path-like, optional
            Folder that relative paths in the CSV are resolved in, and that replaces drive letters.
            Default: the folder of the CSV.

        Returns
        -------
        LabelReport
            The number of labelled files, and the skipped lines and paths.

        Raises
        ------
        BadInput
            The table cannot be read, gives one path two labels, or names no file of the
            workspace. Nothing is labelled.
        """
        folder = None if root is None else absolute(root)
        return labels.label_from_csv(self._catalog, Path(absolute(path)), folder)

    def from_folders(self, folder: StrPath) -> LabelReport:
        """Label the files below a folder with the name of the first folder on their path below it.

        Files that are added there later get their label in the same way. If label folders are
        nested, the innermost one decides.

        Parameters
        ----------
        folder : str or path-like
            A folder that was added, or that contains added files.

        Returns
        -------
        LabelReport
            The number of labelled files.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        NotInWorkspace
            No file below the folder was added.
        """
        return labels.label_from_folders(self._catalog, absolute(folder))
