"""The namespace ``workspace.heads``, and loading a head from its folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedkit._internal.paths import DEFAULT_WORKSPACE, absolute, shown
from embedkit.errors import BadInput
from embedkit.search.embedding_store import full_names
from embedkit.workspace.state import StrPath, WorkspaceBase

if TYPE_CHECKING:
    from embedkit.classify.head import Head
    from embedkit.classify.heads.embedding_head import EmbeddingHead
    from embedkit.results import HeadInfo
    from embedkit.results.evaluation import Evaluation


class Heads(WorkspaceBase):
    """Train, combine, evaluate, list and load the classifier heads of a workspace."""

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
        """Train a head on the training set and save it.

        Hyperparameters, calibration and thresholds are selected on the validation set; the test
        set is not used. Images without an embedding of the backbone are embedded first. A head of
        the same name and kind is replaced.

        Parameters
        ----------
        kind : {'probe', 'knn', 'finetune'}
            A linear classifier of embeddings; the votes of the nearest training photos; or the
            fine-tuned network itself.
        name : str
            Name to save the head under: letters, digits, ``_``, ``-`` and ``.``.
        backbone : str, optional
            Any backbone. Default: the workspace's first one.
        preset : str, optional
            A protocol of the kind: ``embedkit`` (default), ``dinov2`` or ``clip`` for ``probe``,
            ``modern`` (default) or ``doi2018`` for ``finetune``.
        epochs : int, optional
            Epochs of fine-tuning. Default: those of the preset.
        processes : int, default 1
            Number of processes that fine-tune together, one for each GPU.
        settings : mapping, optional
            Values by name that replace those of the preset: fields of
            :class:`embedkit.classify.heads.probe.Protocol` or
            :class:`embedkit.classify.heads.finetune.Configuration`.

        Returns
        -------
        Head
            The trained head.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        BadInput
            There is no split, the arguments are wrong, or a head of another kind has the name.
        HeadBusy
            Another process trains or combines a head of that name.
        MissingExtra
            Several processes need the extra ``train``.
        WeightsMissing, BadWeights, UnknownBackbone
            The backbone cannot be loaded.
        StorageError
            The disk is full, read-only or failing.
        """
        from embedkit.classify.heads.locking import locked_name
        from embedkit.classify.heads.outliers.cache import embedded_outliers
        from embedkit.classify.training import TrainOptions, train

        self._state.sweep()
        full_name = (
            full_names(backbone)[0] if backbone is not None else self._embeddings.select(None).name
        )
        self._catalog.require()
        folder = self._state.heads_folder
        with locked_name(folder, name, kind) as head:
            options = TrainOptions(kind, head, full_name, preset, epochs, processes, settings or {})
            trained = train(
                self._catalog,
                folder,
                options,
                self._embeddings.resolve_and_embed,
                lambda resolved: embedded_outliers(
                    self._state.outliers_folder, resolved, self._embeddings.network
                ),
                self._embeddings.projections.find,
                self._progress,
            )
        return self._with_networks(trained)

    def ensemble(self, name: str, heads: Sequence[str], *, method: str = "mean") -> "Head":
        """Combine heads into one that averages their probabilities, and save it.

        Parameters
        ----------
        name : str
            Name to save the ensemble under.
        heads : sequence of str
            Names of the members.
        method : {'mean', 'calibrated', 'greedy'}, default 'mean'
            The probabilities to average. ``mean``: uncalibrated ones. ``calibrated``: calibrated
            ones. ``greedy``: calibrated ones of the members that forward selection on the
            validation set chooses.

        Returns
        -------
        Head
            The ensemble.

        Raises
        ------
        BadInput
            The heads have different classes, or one was trained on validation photos.
        NotInWorkspace
            No head has one of the names.
        HeadBusy
            Another process trains or combines a head of that name.
        StorageError
            The disk is full, read-only or failing.
        """
        from embedkit.classify.ensemble import build_ensemble
        from embedkit.classify.heads.embedding_head import ENSEMBLE
        from embedkit.classify.heads.locking import locked_name

        self._state.sweep()
        self._catalog.require()
        folder = self._state.heads_folder
        with locked_name(folder, name, ENSEMBLE) as head:
            members = self._load_embedded(heads)
            built = build_ensemble(self._catalog, folder, head, members, method)
        return self._with_networks(built)

    def evaluate(self, heads: Sequence[str]) -> "Evaluation":
        """Evaluate heads on the test set.

        Parameters
        ----------
        heads : sequence of str
            Names of heads with the same classes.

        Returns
        -------
        Evaluation
            Metrics with intervals, paired tests, confusions, mistakes and predictions.

        Raises
        ------
        BadInput
            The heads have different classes, one was trained on test photos, or there is no test
            set.
        NotInWorkspace
            No head has one of the names.
        """
        from embedkit.classify.evaluate import evaluate_heads

        return evaluate_heads(self._catalog, self._load_embedded(heads))

    def load(self, name: str) -> "Head":
        """Load a head of the workspace.

        Parameters
        ----------
        name : str
            Name that it was saved under.

        Returns
        -------
        Head
            The head. It shares the networks of the workspace, and uses stored embeddings of photos
            that were added.

        Raises
        ------
        NotInWorkspace
            No head has that name.
        BadArtefact
            The head is damaged, or a member of the ensemble was trained again since.
        """
        from embedkit.classify.heads.store import load_head

        return self._with_networks(load_head(self._state.heads_folder, name))

    def names(self) -> list[str]:
        """Return the names of the heads.

        Returns
        -------
        list of str
            Sorted names.
        """
        from embedkit.classify.heads.store import names

        return names(self._state.heads_folder)

    def info(self) -> "tuple[HeadInfo, ...]":
        """Return a description of each head; a damaged head is described with its problem.

        Returns
        -------
        tuple of HeadInfo
            Kind, backbones, classes, validation accuracy, size and time of each head, by name.
        """
        from embedkit.classify.heads.listing import head_infos

        return head_infos(self._state.heads_folder)

    def _with_networks(self, head: "EmbeddingHead") -> "Head":
        """Return a head that uses the networks and the stored embeddings of the workspace."""
        from embedkit.classify.head import Head
        from embedkit.classify.head_checks import backbone_of
        from embedkit.classify.stored_photos import StoredPhotos

        return Head(
            head,
            lambda model: self._embeddings.network(backbone_of(model, self._embeddings)),
            StoredPhotos(self._catalog),
            self._progress,
        )

    def _load_embedded(self, names: Sequence[str]) -> "list[EmbeddingHead]":
        """Load heads, and embed the images that have no embedding of their backbones."""
        from embedkit.classify.head_checks import backbone_of
        from embedkit.classify.heads.store import load_head

        heads = [load_head(self._state.heads_folder, name) for name in dict.fromkeys(names)]
        models = {model.spec: model for head in heads for model in head.models}
        backbones = [backbone_of(model, self._embeddings) for model in models.values()]
        self._embeddings.embed_missing(backbones)
        return heads


def load_head(head: StrPath) -> "Head":
    """Load a head. This needs neither a catalog nor the training photos.

    Parameters
    ----------
    head : str or path-like
        The folder of a head, such as ``indexes/default/heads/probe``, or the name of a head of the
        default workspace, such as ``probe``. The members of an ensemble are loaded from the folders
        beside its own.

    Returns
    -------
    Head
        The head. It opens its backbones by name, and they must be unchanged since training.

    Raises
    ------
    BadInput
        There is no such head.
    BadArtefact
        The head is damaged, or a member of the ensemble was trained again since.

    Examples
    --------
    >>> head = embedkit.load_head("indexes/default/heads/probe")  # doctest: +SKIP
    >>> head.predict(["new/1.jpg", "new/2.jpg"])                   # doctest: +SKIP
    array(['ramen', 'udon'], dtype='<U5')
    """
    from embedkit.classify.head import Head
    from embedkit.classify.heads.store import MANIFEST
    from embedkit.classify.heads.store import load_head as load

    path = Path(absolute(head))
    if not (path / MANIFEST).is_file() and os.path.basename(head) == os.fspath(head):
        path = Path(absolute(DEFAULT_WORKSPACE)) / "heads" / head
    if not (path / MANIFEST).is_file():
        raise BadInput(
            f"{shown(os.fspath(head))} is neither the folder of a head, with a {MANIFEST}, nor the "
            f"name of a head in {DEFAULT_WORKSPACE}; heads are in the folder 'heads' of a workspace"
        )
    return Head(load(path.parent, path.name))
