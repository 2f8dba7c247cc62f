"""The public API: one collection, and everything that can be done with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedkit._internal.artifacts import sweep
from embedkit._internal.paths import absolute, shown
from embedkit.backbones.registry import DEFAULT
from embedkit.catalog import Catalog
from embedkit.errors import BadInput
from embedkit.ingest import labels
from embedkit.recipe import FILE_NAME, Recipe, read_recipe
from embedkit.results import (
    AddReport,
    ApplyReport,
    Comparison,
    Duplicates,
    EmptyReport,
    Info,
    LabelReport,
    Matches,
    PlanRow,
    Predictions,
    Progress,
    ProgressCallback,
    Quarantine,
    Relocated,
    Removal,
    Sheet,
    Split,
    UndoReport,
    silent,
)
from embedkit.search.embeddings import Embeddings, named
from embedkit.search.queries import Queries, digest_of, name_of, opened
from embedkit.search.search import Narrowing, check_count, search

if TYPE_CHECKING:
    from PIL import Image

    from embedkit.classify.evaluation.figures import Evaluation
    from embedkit.classify.heads.head import Head

_TREES = ("index", "features", "heads", "outliers", "quarantine", "sheets")
"""The folders of a workspace that embedkit makes."""


class Workspace:
    """A folder that holds a recipe, the catalog and the indexes of one collection of photos.

    Nothing is read or made until it is needed; photos are never changed. Only :meth:`apply` and
    :meth:`undo` move them, and only :meth:`empty_quarantine` deletes any. ``progress`` is called
    with a :class:`Progress` now and then while something takes long.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = "indexes/default",
        progress: ProgressCallback = silent,
    ) -> None:
        self.folder = Path(absolute(folder))
        self._progress = progress
        self._catalog = Catalog(self.folder, on_wait=lambda text: progress(Progress(text)))
        self._embeddings = Embeddings(self._catalog, progress)
        self._quarantine_folder = self.folder / "quarantine"
        self._features = self.folder / "features"
        self._heads = self.folder / "heads"
        self._outliers = self.folder / "outliers"

    @property
    def recipe(self) -> Recipe:
        """The recipe.toml of the workspace; an empty one when it has none."""
        return read_recipe(self.folder)

    def add(
        self,
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        *,
        backbones: str | Sequence[str] = (),
        labels_from_folders: bool | None = None,
        fingerprints_only: bool = False,
        exclude: Sequence[str] | None = None,
        min_size: int | None = None,
        tolerate_truncated: bool | None = None,
    ) -> AddReport:
        """Bring the workspace in line with photos and folders of photos, as they are now.

        ``sources`` and ``backbones`` may be one or several. Without ``sources``, those of the
        recipe and every folder added before. Without ``backbones``, the recipe's, else those that
        photos were added with before, else the default one. With ``labels_from_folders`` (None: as
        the recipe says) a file is labelled with the first folder below its source; where sources
        that label are inside each other, the innermost decides. With ``fingerprints_only`` no
        network is run: that is enough for :meth:`duplicates` and :meth:`plan`, and the next call
        without it embeds the images.

        What matches a pattern of ``exclude`` (:mod:`embedkit.images.patterns`) below its source is
        left out, and so are images whose short side has less than ``min_size`` pixels. With
        ``tolerate_truncated`` JPEG and PNG files that end early are decoded as far as they go; they
        are found by :meth:`search`, and take no part in :meth:`duplicates`, :meth:`split` and
        :meth:`train`. These three hold for the whole workspace: None means as in the last add. What
        was added before and is left out now is not found any more, until it is let in again.

        Raises :class:`BadInput` for a source that does not exist, for a pattern given that matches
        nothing, and for backbones together with ``fingerprints_only``; :class:`WeightsMissing` and
        the like for a backbone that cannot be loaded; files that cannot be used are in the report.
        """
        from embedkit.ingest import add, options_of, sources_of

        if fingerprints_only and backbones:
            raise BadInput(
                "fingerprints need no backbone; give either backbones or fingerprints_only"
            )
        recipe = self.recipe
        held = self._embeddings.held()
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        places = [absolute(source) for source in sources]
        chosen: Sequence[str] = ()
        if not fingerprints_only:
            chosen = named(backbones) or self._embeddings.in_recipe() or held.added or [DEFAULT]
        if isinstance(exclude, str):
            exclude = [exclude]
        self._sweep()
        report = add(
            self._catalog,
            sources_of(self._catalog, recipe, places, labels_from_folders),
            list(dict.fromkeys(chosen)),
            resolved=held.backbones,
            options=options_of(self._catalog, exclude, min_size, tolerate_truncated),
            new_patterns=exclude or (),
            skip=str(self.folder),
            progress=self._progress,
        )
        self._embeddings.save_caches()
        return report

    def search(
        self,
        image: "str | os.PathLike[str] | Image.Image | np.ndarray | None" = None,
        k: int = 10,
        *,
        text: str | None = None,
        backbone: str | None = None,
        max_distance: float | None = None,
        label: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        verify: int = 0,
    ) -> Matches:
        """The ``k`` images most like ``image``, or like the words ``text``: a list of matches.

        ``image`` is a path, a Pillow image or an RGB uint8 array (H, W, 3); it need not be in the
        workspace. A stored image is found by its bytes, and first, at distance 0. A 1-D array of
        floats is an embedding itself, of any norm. ``backbone`` is one that photos were added with
        (None: the first); ``max_distance``, ``label`` and ``folder`` narrow the matches.
        The first ``verify`` images are compared with it point for point and put in that order.

        Raises :class:`EmptyWorkspace`, :class:`NotInWorkspace` and, for an image that cannot be
        read, :class:`BadInput`.
        """
        if (image is None) == (text is None):
            raise BadInput("give either an image or a text to search for")
        check_count(k)
        check_count(verify, least=0, name="verify")
        if verify and (text is not None or (isinstance(image, np.ndarray) and image.ndim == 1)):
            raise BadInput("only matches of a photo can be verified, not of words or embeddings")
        narrowing = Narrowing.asked(max_distance, label, folder)
        if text is not None:
            return self._matches(self._embeddings.of_text(backbone, text), k, narrowing)[0]
        assert image is not None
        if not verify:
            return self._matches(self._embeddings.of_images(backbone, [image]), k, narrowing)[0]
        from embedkit.search.verification.photos import verify_first

        photo = opened(image)
        queries = self._embeddings.of_images(backbone, [photo])
        queries = replace(queries, names=(name_of(image),))
        matches = self._matches(queries, max(k, verify), narrowing)[0]
        verify_first(matches, photo, verify, self._features)
        del matches[k:]
        return matches

    def search_many(
        self,
        images: "Sequence[str | os.PathLike[str] | Image.Image | np.ndarray] | np.ndarray",
        k: int = 10,
        *,
        backbone: str | None = None,
        max_distance: float | None = None,
        label: str | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> list[Matches]:
        """The ``k`` images most like each of ``images``, as :meth:`search` finds them, at once.

        ``images`` may also be one path, or an array of embeddings (Q, dim). Much faster than one
        search after another; raises as :meth:`search` does.
        """
        if isinstance(images, (str, os.PathLike)):
            images = [images]
        queries = self._embeddings.of_images(backbone, list(images))
        return self._matches(queries, k, Narrowing.asked(max_distance, label, folder))

    def distance(
        self,
        first: str | os.PathLike[str],
        second: str | os.PathLike[str],
        *,
        backbone: str | None = None,
    ) -> float:
        """Cosine distance, in [0, 2], between two images, in the workspace or not.

        Uses the workspace's first backbone unless one is named; an empty workspace, the default.
        """
        from embedkit.index.metric import distances

        one, other = self._embeddings.vectors(backbone, [first, second])
        return float(distances(one, other[None])[0])

    def duplicates(
        self,
        kinds: Sequence[str] = (),
        *,
        max_hamming: int | None = None,
        max_distance: float | None = None,
        hash_bits: int = 64,
        turns: bool = False,
        verify: bool = False,
        of: str | os.PathLike[str] | None = None,
        backbone: str | None = None,
    ) -> Duplicates:
        """Groups of files that show the same, best first, each around its best file.

        ``kinds``, the three first of which are looked for unless some are named: ``exact`` (equal
        bytes), ``pixels`` (equal pixels when decoded), ``combined`` (a score from all evidence,
        for images turned, mirrored, cropped, recoloured ... too), ``perceptual`` (perceptual hashes
        at most ``max_hamming`` of 64 or 256 ``hash_bits`` apart, with ``turns`` those of turned and
        mirrored images too) and ``semantic`` (embeddings at most ``max_distance`` apart). Both
        limits follow the collection unless they are given; among more than a million images
        ``perceptual`` takes a second look at those that 64 bits find. With ``verify`` doubtful
        ``combined`` pairs are compared point for point, and what evidently differs is dropped. What
        was found is kept in the catalog, and what a person decided (:meth:`decide`) is followed.

        Images without an embedding are compared by their hashes and pixels alone.

        ``of`` one photo, in the workspace or not: only the group around it, without a search of
        the whole collection. Raises :class:`EmptyWorkspace`, and :class:`BadInput` for what there
        is not.
        """
        from embedkit.duplicates.examiner import Examiner
        from embedkit.duplicates.find import asked_for, find_duplicates
        from embedkit.duplicates.of_photo import find_copies

        asked = asked_for(kinds, max_hamming, max_distance, hash_bits, turns, verify)
        if of is not None:
            index, vector = self._embeddings.to_compare_with(backbone, of)
            return find_copies(self._catalog, index, asked, absolute(of), vector, self._features)
        index = self._embeddings.to_compare(backbone)
        examiner = Examiner(self._catalog, self._features, self._progress)
        return find_duplicates(self._catalog, index, asked, examiner, self._progress)

    def compare(
        self,
        backbones: str | Sequence[str] = (),
        *,
        queries: Sequence[str | os.PathLike[str]] = (),
        by: str = "label",
        group: str | None = None,
    ) -> Comparison:
        """How well each of ``backbones`` tells the classes apart, and which differences are real.

        Embeds the images that are there and not embedded yet, one backbone after another, so that
        each has its own images/s; it does not look for new photos, as :meth:`add` does, which will
        not embed with a backbone for having been compared. Without ``backbones``, those of the
        recipe and those known here. Classes are labels, or ``by="folder"`` the folders of files.
        ``queries`` are photos, in the workspace or not, whose rankings are wanted. ``group`` is a
        column of the label tables, such as the camera or the photographer, for the content score:
        of a photo with the same label in another group and one with another label in the same
        group, how often the first is nearer.

        Raises :class:`EmptyWorkspace`, :class:`BadInput` when there is nothing to tell apart or the
        column is unknown, and the errors of :func:`embedkit.load_backbone`, before anything is
        embedded. Files that cannot be embedded are in the comparison.
        """
        from embedkit.compare.run import CompareOptions, compare_backbones

        group = None if group is None else labels.as_label(group)
        options = CompareOptions(backbones, queries, by, group)
        return compare_backbones(self._catalog, self._embeddings, options, self._progress)

    def split(
        self,
        val: int,
        test: int,
        *,
        seed: int = 0,
        group: str | None = None,
        given: str | os.PathLike[str] | None = None,
    ) -> Split:
        """Split the labelled images: ``val`` and ``test`` of each class, the rest for training.

        Copies never sit in two parts, nor do images with the same value in the column ``group`` of
        a CSV of labels, nor what other images, labelled or not, tie to each other so. ``given`` is
        a CSV with the columns ``path`` and ``part`` (train, val or test) of files whose part is
        settled. Depends on the images' content, labels and ``seed`` alone; is stored, in place of
        the last one. Images under several labels are left out.

        Raises :class:`BadInput`, and stores nothing, when there is nothing to tell apart, for
        numbers below 1, a column that is not known and a CSV that is wrong, and
        :class:`NotInWorkspace` when it has a path that is not of a photo with one label.
        """
        from embedkit.classify.split import SplitOptions, draw_split, prepare_split
        from embedkit.duplicates.find import asked_for, duplicate_pairs

        self._sweep()
        parts = {}
        if given is not None:
            parts = labels.values_from_csv(self._catalog, Path(absolute(given)), "part")
        group = None if group is None else labels.as_label(group)
        # What cannot be split is told before minutes of searching.
        inputs = prepare_split(self._catalog, SplitOptions(val, test, seed, group), parts)
        self._embeddings.complete([self._embeddings.pick(None)])  # copies are found by them too
        index = self._embeddings.index(None)
        pairs = duplicate_pairs(self._catalog, index, asked_for(()), self._progress)
        return draw_split(self._catalog, inputs, pairs)

    def last_split(self) -> Split:
        """The split that is stored, and how many images have gone or come since.

        Raises :class:`BadInput` when there is none.
        """
        from embedkit.classify.split import read_split

        return read_split(self._catalog)[0]

    def train(
        self,
        kind: str,
        name: str,
        *,
        backbone: str | None = None,
        preset: str | None = None,
        epochs: int | None = None,
        processes: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> "Head":
        """Train a head on the split and keep it as ``name``: ``probe``, ``knn`` or ``finetune``.

        Everything is chosen on the validation part; the test part has no say. ``backbone`` is any
        (None: the workspace's first); what lacks its embedding is embedded. ``preset`` is a
        protocol of the kind; ``epochs`` and ``processes``, GPUs that work together, are for
        ``finetune``. ``settings`` are values by name in place of the preset's own, those of
        :class:`embedkit.classify.heads.finetune.Configuration` or
        :class:`embedkit.classify.heads.probe.Protocol`. A head of the same name and kind is
        replaced.

        Raises :class:`BadInput` for what cannot be taught or a name of another kind of head,
        :class:`HeadBusy` while another process makes one so called, :class:`MissingExtra` without
        accelerate for several processes, :class:`StorageError`, and the errors of loading a
        backbone.
        """
        from embedkit.classify.heads.locking import locked_name
        from embedkit.classify.heads.outliers.cache import embedded_outliers
        from embedkit.classify.training import TrainOptions, train

        self._sweep()
        taught = named(backbone)[0] if backbone is not None else self._embeddings.pick(None).name
        self._catalog.require()
        with locked_name(self._heads, name, kind) as kept:
            options = TrainOptions(kind, kept, taught, preset, epochs, processes, settings or {})
            return train(
                self._catalog,
                self._heads,
                options,
                self._embeddings.completed,
                lambda resolved: embedded_outliers(
                    self._outliers, resolved, self._embeddings.network
                ),
                self._progress,
            )

    def ensemble(self, name: str, heads: Sequence[str], *, method: str = "mean") -> "Head":
        """Make one head of several and keep it as ``name``: the mean of their probabilities.

        ``method`` is ``mean`` (as they are), ``calibrated``, or ``greedy`` (calibrated, of those
        that forward selection on validation chose). Raises :class:`BadInput` for heads that cannot
        be one: taught different classes, or by validation photos; :class:`HeadBusy` and
        :class:`StorageError` as :meth:`train` does.
        """
        from embedkit.classify.ensemble import build_ensemble
        from embedkit.classify.heads.head import ENSEMBLE
        from embedkit.classify.heads.locking import locked_name

        self._sweep()
        self._catalog.require()
        with locked_name(self._heads, name, ENSEMBLE) as kept:
            return build_ensemble(self._catalog, self._heads, kept, self._trained(heads), method)

    def heads(self) -> list[str]:
        """The names of the heads that were trained or made, sorted."""
        from embedkit.classify.heads.store import names

        return names(self._heads)

    def evaluate(
        self, heads: Sequence[str], *, tables: str | os.PathLike[str] | None = None
    ) -> "Evaluation":
        """Judge heads on the test part of the split; with ``tables``, a folder, as CSV too.

        Raises :class:`BadInput` when they were taught different classes, when test photos taught
        one of them, or when there is no test part.
        """
        from embedkit.classify.evaluate import evaluate_heads

        folder = None if tables is None else Path(absolute(tables))
        return evaluate_heads(self._catalog, self._trained(heads), folder)

    def classify(
        self,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        head: str,
        k: int = 3,
    ) -> Predictions:
        """The ``k`` most probable classes of photos, and the training photos nearest to them.

        ``photos`` are photos and folders of them, in the workspace or not. Those that cannot be
        read are told. Raises :class:`BadInput`.
        """
        from embedkit.classify.head_checks import backbone_of
        from embedkit.classify.heads.store import load_head
        from embedkit.classify.prediction import classify

        check_count(k)
        sources = [photos] if isinstance(photos, (str, os.PathLike)) else photos
        return classify(
            self._catalog,
            load_head(self._heads, head),
            [absolute(source) for source in sources],
            k,
            lambda model: self._embeddings.network(backbone_of(model, self._embeddings)),
            self._progress,
        )

    def decide(
        self,
        verdict: str | None,
        image: str | os.PathLike[str],
        other: str | os.PathLike[str] | None = None,
    ) -> None:
        """Note what a person decided: two are ``duplicate`` or ``different``, one is to ``keep``.

        None takes a decision back. It belongs to the images' content, so that renamed files and
        later searches are not asked about again; a photo may be one that is yet to be added.
        Raises :class:`BadInput`.
        """
        from embedkit.duplicates.groups import check_verdict

        check_verdict(verdict, 1 if other is None else 2)
        self._catalog.require()
        first = digest_of(image, photo=True)
        second = None if other is None else digest_of(other, photo=True)
        if first == second:
            raise BadInput("these two files have the same bytes: there is nothing to decide")
        with self._catalog.write() as writer:
            writer.decide(first, second, verdict)

    def label_from_csv(
        self, source: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
    ) -> LabelReport:
        """Label files from a CSV with the columns ``path`` and ``label``.

        Paths may be relative to the CSV's folder, or to ``root``; with ``root``, a drive letter
        stands for it. Commas, semicolons and tabs, UTF-8 and UTF-16 are understood. These labels
        come before those from folders and follow the bytes of the files when they move; so does
        what other columns say, which :meth:`split` can group by. Lines without a label and paths
        that are not in the workspace are skipped and reported. Raises :class:`BadInput`, and labels
        nothing, for a table that cannot be understood, one path with two labels, or when no path is
        in the workspace.
        """
        folder = None if root is None else absolute(root)
        return labels.label_from_csv(self._catalog, Path(absolute(source)), folder)

    def label_from_folders(self, source: str | os.PathLike[str]) -> LabelReport:
        """Label the known files below a folder by the first folder on the way, now and later.

        Of folders inside each other that label, the innermost decides.
        """
        return labels.label_from_folders(self._catalog, absolute(source))

    def relocate(self, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> Relocated:
        """Take the files of the folder ``old`` for those of ``new``, to which all of it was moved.

        For another mount point, disk or folder name: no photo is read. At least half of the files
        have to be at the new place with their sizes; the others count as missing. Raises
        :class:`BadInput`, and :class:`NotInWorkspace` when there are no files below ``old``.
        """
        from embedkit.ingest.relocation import relocate

        report = relocate(self._catalog, absolute(old), absolute(new))
        if any(Path(source).is_relative_to(absolute(old)) for source in self.recipe.sources):
            stale = f"{self.folder / FILE_NAME} still lists {shown(absolute(old))}; change it there"
            report = replace(report, warnings=(*report.warnings, stale))
        return report

    def remove(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        missing: bool = False,
        backbone: str | None = None,
    ) -> Removal:
        """Forget a file or folder, all missing files, or a backbone's embeddings.

        Photos are not touched, and their labels from tables are kept for when they come back.
        Raises :class:`NotInWorkspace` when there is nothing of the kind.
        """
        if sum((path is not None, missing, backbone is not None)) != 1:
            raise BadInput("say what to forget: one of a path, the missing files, or a backbone")
        self._sweep()
        if backbone is not None:
            return self._embeddings.forget(backbone)
        self._catalog.require()
        with self._catalog.write() as writer:
            return writer.forget_files(None if path is None else absolute(path))

    def plan(
        self,
        kinds: Sequence[str] = (),
        *,
        conflicts: str = "review",
        protected: Sequence[str | os.PathLike[str]] = (),
        prefer: Sequence[str] = (),
        allowed: Sequence[str] = (),
        verify: bool = False,
        backbone: str | None = None,
        found: Duplicates | None = None,
    ) -> list[PlanRow]:
        """What to keep and what to remove of the duplicates: rows for ``write_plan``.

        Of each group the best file stays, or those below ``protected`` folders; what a person
        decided is followed. A file goes only if both it and the one that stays were opened and
        nothing differs; what was mirrored, rotated, cropped or otherwise changed is for review
        unless that is ``allowed``. Files of ``prefer``, folders or patterns such as ``*.heic``, the
        first first, rather stay. Groups under several labels are for review too, or with
        ``conflicts="drop-all"`` go whole. ``found`` are duplicates that were looked for before.
        Files that are gone from the disk are in no row. One that does not decode is in the group of
        its intact copy, if what is there of it is the same there: it is for review, or with
        ``damaged`` among the ``allowed`` goes, and never stays for another. Raises as
        :meth:`duplicates` does, and :class:`BadInput` for a protected path without photos.
        """
        from embedkit.cleaning.damaged import with_damaged
        from embedkit.cleaning.existing_files import check_protected, present, spare_hard_links
        from embedkit.cleaning.planning import Wishes, plan_rows
        from embedkit.duplicates.examiner import Examiner

        wishes = Wishes(
            conflicts,
            tuple(absolute(place) for place in protected),
            tuple(place if set(place) & set("*?[") else absolute(place) for place in prefer),
            frozenset(allowed),
        )
        check_protected(self._catalog, wishes.protected)
        found = present(found or self.duplicates(kinds, verify=verify, backbone=backbone))
        examiner = Examiner(self._catalog, self._features, self._progress)
        examiner.learn(member for group in found.groups for member in group.members)
        rows = plan_rows(found, examiner, wishes)
        return spare_hard_links(with_damaged(rows, self._catalog, examiner, wishes, self._progress))

    def apply(
        self, plan: str | os.PathLike[str], *, trash: bool = False, link: str | None = None
    ) -> ApplyReport:
        """Move the files that a plan (CSV) removes to quarantine; :meth:`undo` puts them back.

        A file goes only if it has the content that the plan says, and only while a file for which
        it goes is there; what is left has a reason in the report. With ``trash`` files go to
        the system's trash instead, from where :meth:`undo` does not put them back. With ``link``
        a link to the file that stays takes the place of each removed one with the same bytes: a
        ``hard`` one, or a symbolic one, ``sym``. Applying the same plan again continues where it
        was. Labels stay with the files that went; where the file that stays has none, it gets
        theirs, and likewise other columns of a CSV of labels, and verdicts.

        Raises :class:`BadInput` for a plan that cannot be understood or names files that are not
        of this workspace, :class:`QuarantineBusy` and :class:`StorageError`.
        """
        from embedkit.cleaning.apply import apply
        from embedkit.cleaning.links import check_kind
        from embedkit.cleaning.plan import read_plan
        from embedkit.cleaning.plan_check import check_rows

        if trash and link is not None:
            raise BadInput("a link is for a file in quarantine; give either link or trash")
        check_kind(link)
        self._sweep()
        rows = read_plan(Path(absolute(plan)))
        self._catalog.require()
        check_rows(shown(str(plan)), rows, self._catalog, self._quarantine_folder)
        return apply(
            self._quarantine_folder,
            rows,
            self._progress,
            catalog=self._catalog,
            to_trash=trash,
            link=link,
        )

    def undo(self, quarantine: str | None = None) -> UndoReport:
        """Put back every file that a plan moved to quarantine.

        None is the last plan with files there or in the trash. Nothing is overwritten but links
        that the plan made: a file whose place has other content by now stays in quarantine. Such
        files, and those in the trash or deleted since, are in the report, with the reason. What
        was carried over from files that are back is taken back. Raises :class:`NotInWorkspace` for
        an unknown name, :class:`QuarantineBusy` and :class:`StorageError`.
        """
        from embedkit.cleaning.undo import undo

        self._sweep()
        return undo(self._quarantine_folder, quarantine, self._progress, catalog=self._catalog)

    def quarantines(self) -> list[Quarantine]:
        """The plans that were applied and the files in quarantine for each, the last one first."""
        from embedkit.cleaning.quarantine import quarantines

        return quarantines(self._quarantine_folder)

    def empty_quarantine(
        self,
        quarantine: str | None = None,
        *,
        older_than: timedelta | None = None,
        dry_run: bool = False,
    ) -> EmptyReport:
        """Delete files in quarantine for ever: of one plan, or of all applied longer ago.

        A file is deleted only while a file for which it went has the content that the plan says, at
        its place or under another name that the workspace knows. Files of ``drop-all`` groups
        may be the last copies: they are deleted only from a named quarantine. With ``dry_run``
        nothing is deleted. Raises :class:`BadInput` when neither is given,
        :class:`NotInWorkspace` for an unknown name, :class:`QuarantineBusy` and
        :class:`StorageError`.
        """
        from embedkit.cleaning.empty import empty

        self._sweep()
        return empty(
            self._quarantine_folder,
            quarantine,
            older_than,
            self._progress,
            whereabouts=self._files_of,
            dry_run=dry_run,
        )

    def sheets(self, label: str | None = None) -> list[Sheet]:
        """The photos of each label, those farthest from the label's mean embedding first.

        The workspace's first backbone is used, if there is one; photos without a label come last.
        With ``label``, that one alone; raises :class:`NotInWorkspace` for an unknown one.
        """
        from embedkit.cleaning.sheets import sheets

        with self._catalog.read() as reader:
            return sheets(reader, labels.as_label(label) if label is not None else None)

    def compact(self) -> tuple[int, int]:
        """Rewrite the catalog without gaps; its bytes before and after.

        Images that no file holds any more are forgotten, and embeddings of superseded weights;
        imported ones whose photos are yet to be added are kept.
        """
        from embedkit.classify.heads.outliers.cache import remove_all_but as remove_outliers

        self._catalog.require()
        self._sweep()
        sizes = self._catalog.compact()
        self._embeddings.tidy()
        held = {item.spec.digest for item in self._embeddings.held().backbones}
        remove_outliers(self._outliers, held)
        return sizes

    def export(self, folder: str | os.PathLike[str], *, backbone: str | None = None) -> int:
        """Write one backbone's embeddings to a folder; how many.

        ``vectors.npy`` is float32 (N, dim); row n belongs to row n of ``images.parquet``
        (image_id, sha256, md5, bytes, norm, files, label, outdated); ``spec.json`` says what made
        them. Outdated are those that an earlier version made and the next :meth:`add` looks at.
        """
        from embedkit.ingest.exchange import export

        return export(self._catalog, self._embeddings.pick(backbone), Path(absolute(folder)))

    def import_(self, folder: str | os.PathLike[str]) -> int:
        """Take in embeddings that :meth:`export` wrote, here or elsewhere; how many were new.

        They belong to images, by SHA-256: photos added afterwards find theirs there. Raises
        :class:`BadArtefact` when the three files do not fit together, and :class:`BadInput` when
        the backbone of that name is another one here.
        """
        from embedkit.ingest.exchange import import_

        self._sweep()
        return import_(self._catalog, Path(absolute(folder)))

    def info(self) -> Info:
        """What the workspace holds: photos, labels, specs, indexes, disk, failures.

        Photos are counted as the disk has them now; those that are gone are missing.
        """
        from embedkit.catalog.inventory import inventory

        with self._catalog.read() as reader:
            specs = self._embeddings.told(reader)
            sources, failures = reader.sources(), reader.failures()
            options, truncated = reader.add_options(), reader.truncated_files()
        there = inventory(self._catalog)
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return Info(
            workspace=str(self.folder),
            sources=tuple(sources),
            files=there.files,
            images=there.images,
            missing=there.missing,
            labels=there.labels,
            specs=specs,
            disk_bytes=sum(file.stat().st_size for file in files),
            failures=tuple(failures),
            options=options,
            truncated=tuple(truncated),
        )

    # -- inside --------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove what earlier commands that were killed left under temporary names."""
        sweep(self.folder, _TREES)

    def _files_of(self, sha256s: Sequence[str]) -> dict[str, list[str]]:
        """The known files of images, by the images' SHA-256 in hex."""
        if not self._catalog.exists:
            return {}
        with self._catalog.read() as reader:
            ids = reader.image_ids([bytes.fromhex(sha256) for sha256 in sha256s])
            files = reader.live_files(list(ids.values()))
        return {
            sha256.hex(): [file.path for file in files.get(image_id, ())]
            for sha256, image_id in ids.items()
        }

    def _trained(self, names: Sequence[str]) -> "list[Head]":
        """The heads of these names, once all images have the embeddings that they look at."""
        from embedkit.classify.head_checks import backbone_of
        from embedkit.classify.heads.store import load_head

        found = [load_head(self._heads, name) for name in dict.fromkeys(names)]
        models = {model.spec: model for head in found for model in head.models}
        self._embeddings.complete(
            [backbone_of(model, self._embeddings) for model in models.values()]
        )
        return found

    def _matches(self, queries: Queries, k: int, narrowing: Narrowing) -> list[Matches]:
        """The matches of queries, from the index as it was when they were made."""
        return search(self._catalog, self._embeddings.index_for(queries), queries, k, narrowing)
