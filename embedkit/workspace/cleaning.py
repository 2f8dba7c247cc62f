"""The methods of a workspace that find and clean up duplicates."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute, shown
from embedkit.ingest import labels
from embedkit.results import Duplicates, Sheet, UndoReport
from embedkit.results.verdicts import MARKED_KINDS
from embedkit.workspace.plan import Plan, known_facts
from embedkit.workspace.state import StrPath, WorkspaceBase

if TYPE_CHECKING:
    from embedkit.cleaning.facts import KnownFacts


class CleaningMethods(WorkspaceBase):
    """Find duplicates, plan their removal, undo it; contact sheets."""

    def duplicates(
        self,
        kinds: Sequence[str] = (),
        *,
        max_hamming: int | None = None,
        max_distance: float | None = None,
        hash_bits: int = 64,
        any_orientation: bool = False,
        verify: bool = False,
        of: StrPath | None = None,
        backbone: str | None = None,
    ) -> Duplicates:
        """Find groups of files that show the same picture.

        The result is stored in the catalog, so that a repeated search is fast. Verdicts are
        applied. Images without an embedding are compared by their hashes and pixels.

        Parameters
        ----------
        kinds : sequence of str, optional
            ``exact`` (equal bytes), ``pixels`` (equal decoded pixels), ``combined`` (a score from
            all evidence, for rotated, mirrored, cropped and recoloured images too), ``perceptual``
            (perceptual hashes) and ``semantic`` (embeddings). Default: the first three.
        max_hamming : int, optional
            Maximum number of different bits of ``perceptual`` duplicates. Default: set from the
            size of the collection.
        max_distance : float, optional
            Maximum cosine distance of ``semantic`` duplicates. Default: set from the collection.
        hash_bits : {64, 256}, default 64
            Size of the perceptual hashes.
        any_orientation : bool, default False
            Whether to also find rotated and mirrored ``perceptual`` duplicates.
        verify : bool, default False
            Whether to also open ``combined`` pairs with weak evidence, which finds more and takes
            longer.
        of : path, optional
            Photo, in the workspace or not; only its group is returned.
        backbone : str, optional
            Backbone whose embeddings are used. Default: the workspace's first one.

        Returns
        -------
        Duplicates
            The groups, the highest score first, and the limits of the search.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        BadInput
            An argument is wrong, or ``of`` cannot be read.
        """
        from embedkit.duplicates.examiner import Examiner
        from embedkit.duplicates.find import find_duplicates
        from embedkit.duplicates.of_photo import find_duplicates_of
        from embedkit.duplicates.pair_search import duplicate_options

        features_folder = self._state.features_folder
        options = duplicate_options(
            kinds, max_hamming, max_distance, hash_bits, any_orientation, verify
        )
        if of is not None:
            index, vector = self._embeddings.index_and_query(backbone, of)
            found = find_duplicates_of(
                self._catalog, index, options, absolute(of), vector, features_folder
            )
        else:
            index = self._embeddings.index_or_empty(backbone)
            examiner = Examiner(self._catalog, features_folder, self._progress)
            found = find_duplicates(self._catalog, index, options, examiner, self._progress)
        return replace(found, workspace=str(self._state.folder))

    def clean(
        self,
        kinds: Sequence[str] = (),
        *,
        conflicts: str = "review",
        protect: Sequence[StrPath] = (),
        prefer: Sequence[str] = (),
        allow: Sequence[str] = (),
        verify: bool = False,
        backbone: str | None = None,
        duplicates: Duplicates | None = None,
    ) -> Plan:
        """Plan which duplicates, off-topic and poor photos to remove. Nothing is moved.

        The best file of each group is kept, and verdicts are applied. A file is removed only if it
        and the kept file were opened and do not differ; other copies are for review. A damaged file
        is listed with its intact copy, for review unless ``allow`` contains ``damaged``; no file is
        removed in its favour.

        Parameters
        ----------
        kinds : sequence of str, optional
            As for :meth:`duplicates`, and ``off-topic`` and ``poor``: all files of the photos with
            this verdict are removed, except protected ones. With only these two, duplicates are
            not searched, and no embeddings are needed.
        conflicts : {'review', 'drop-all'}, default 'review'
            Action for groups that have several labels: review them, or remove every file.
        protect : sequence of paths, optional
            Folders and files that this plan keeps. They are not stored for later plans.
        prefer : sequence of str, optional
            Folders, files or patterns such as ``*.heic`` to keep, the most preferred first.
        allow : sequence of str, optional
            Changes that need no review: ``mirrored``, ``rotated``, ``cropped``, ``damaged`` ...
        verify : bool, default False
            As for :meth:`duplicates`.
        backbone : str, optional
            As for :meth:`duplicates`.
        duplicates : Duplicates, optional
            The result of an earlier search. Default: search now.

        Returns
        -------
        Plan
            The action for each file, and the reason.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        BadInput
            An argument is wrong, or nothing below a protected path is in the workspace.
        """
        from embedkit.cleaning.damaged import add_damaged_rows
        from embedkit.cleaning.existing_files import (
            check_protected,
            drop_missing_files,
            review_hard_links,
        )
        from embedkit.cleaning.marked import (
            images_under_both_labels,
            marked_images,
            marked_rows,
            without_settled,
        )
        from embedkit.cleaning.planning import check_kinds, plan_options, plan_rows
        from embedkit.duplicates.examiner import Examiner

        options = plan_options(conflicts, protect, prefer, allow)
        check_kinds(kinds)
        check_protected(self._catalog, options.protect)
        with self._catalog.read() as reader:
            marked = marked_images(reader, [kind for kind in MARKED_KINDS if kind in kinds])
            both = images_under_both_labels(reader)
            misfiled = reader.labels.replaced()
        searched = [kind for kind in kinds if kind not in MARKED_KINDS]
        if duplicates is None and (searched or not kinds):
            duplicates = self.duplicates(searched, verify=verify, backbone=backbone)
        if duplicates is None:
            return Plan(review_hard_links(marked_rows(marked, options, 1)), self._state)
        existing = drop_missing_files(duplicates, without={image.sha256 for image in marked})
        existing = without_settled(existing, both)
        examiner = Examiner(self._catalog, self._state.features_folder, self._progress)
        examiner.add_members(member for group in existing.groups for member in group.members)
        rows = plan_rows(existing, examiner, options, misfiled)
        rows += marked_rows(marked, options, max((row.group for row in rows), default=0) + 1)
        rows = add_damaged_rows(rows, self._catalog, examiner, options, self._progress)
        return Plan(review_hard_links(rows), self._state)

    def load_plan(self, path: StrPath, *, store: StrPath | None = None) -> Plan:
        """Read a plan from a CSV that :meth:`Plan.save` or a spreadsheet wrote.

        Parameters
        ----------
        path : str or path-like
            The CSV.
        store : str or path-like, optional
            Path or URL of the store that the plan is for: see :meth:`Store.clean`. Applying it
            moves files to the quarantine of this workspace, which need not have the photos.
            Default: the plan is for this workspace.

        Returns
        -------
        Plan
            The plan, with the decisions in the CSV.

        Raises
        ------
        BadInput
            The CSV cannot be understood, or a group would lose every file.
        """
        from embedkit.cleaning.plan import read_plan

        place = None if store is None else os.fspath(store)
        return Plan(read_plan(Path(absolute(path))), self._state, shown(str(path)), place)

    def undo(self, quarantine: str | None = None) -> UndoReport:
        """Put back the files that a plan of this workspace, or of a store, moved to quarantine.

        Nothing is overwritten except links that the plan created. Files that cannot be put back
        are reported with the reason. Files that were forgotten meanwhile get their labels from
        tables, other columns and sets of the split back when they are added again.

        Parameters
        ----------
        quarantine : str, optional
            Id of the quarantine. Default: the last plan whose files are not all back.

        Returns
        -------
        UndoReport
            The files that were put back, and the others.

        Raises
        ------
        NotInWorkspace
            No quarantine has that id, or no plan was applied.
        QuarantineBusy, StoreBusy
            Another process is changing the quarantine, or writes to the store.
        StorageError
            The disk is full, read-only or failing, or the store cannot be used. If files had been
            put back, they stay there, and the error is :class:`PlanInterrupted`, with the report.
        """
        from embedkit.cleaning.undo import undo

        self._state.sweep()
        return undo(
            self._state.quarantine_folder, quarantine, self._progress, facts_of=self._facts_of
        )

    def _facts_of(self, store: str | None) -> "KnownFacts":
        return known_facts(self._state, store)

    def sheets(self, label: str | None = None) -> list[Sheet]:
        """Return the photos of each label, those farthest from the label's mean embedding first.

        Photos without a label are the last sheet. Distances are those of the workspace's first
        backbone, if it has one.

        Parameters
        ----------
        label : str, optional
            Label of the only sheet to return. Default: all labels.

        Returns
        -------
        list of Sheet
            The photos of each label.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        NotInWorkspace
            No photo has the label.
        """
        from embedkit.cleaning.sheets import sheets

        with self._catalog.read() as reader:
            return sheets(reader, labels.as_label(label) if label is not None else None)
