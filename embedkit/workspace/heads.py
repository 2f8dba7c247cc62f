"""The namespace ``workspace.heads``, and loading a head from its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedkit._internal.paths import absolute, shown
from embedkit.errors import BadInput
from embedkit.search.embedding_store import full_names
from embedkit.workspace.state import StrPath, WorkspaceBase

if TYPE_CHECKING:
    from embedkit.classify.heads.head import Head
    from embedkit.results.evaluation import Evaluation


class Heads(WorkspaceBase):
    """Train, combine, evaluate and load the classifier heads of a workspace."""

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
            return train(
                self._catalog,
                folder,
                options,
                self._embeddings.resolve_and_embed,
                lambda resolved: embedded_outliers(
                    self._state.outliers_folder, resolved, self._embeddings.network
                ),
                self._progress,
            )

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
        from embedkit.classify.heads.head import ENSEMBLE
        from embedkit.classify.heads.locking import locked_name

        self._state.sweep()
        self._catalog.require()
        folder = self._state.heads_folder
        with locked_name(folder, name, ENSEMBLE) as head:
            return build_ensemble(self._catalog, folder, head, self._load_embedded(heads), method)

    def evaluate(self, heads: Sequence[str], *, csv: StrPath | None = None) -> "Evaluation":
        """Evaluate heads on the test set.

        Parameters
        ----------
        heads : sequence of str
            Names of heads with the same classes.
        csv : str or path-like, optional
            Folder to write tables and predictions to, as CSV.

        Returns
        -------
        Evaluation
            Metrics with intervals, paired tests, confusions and mistakes.

        Raises
        ------
        BadInput
            The heads have different classes, one was trained on test photos, or there is no test
            set.
        NotInWorkspace
            No head has one of the names.
        """
        from embedkit.classify.evaluate import evaluate_heads

        folder = None if csv is None else Path(absolute(csv))
        return evaluate_heads(self._catalog, self._load_embedded(heads), folder)

    def load(self, name: str) -> "Head":
        """Load a head of the workspace.

        Parameters
        ----------
        name : str
            Name that it was saved under.

        Returns
        -------
        Head
            The head.

        Raises
        ------
        NotInWorkspace
            No head has that name.
        BadArtefact
            The head is damaged, or a member of the ensemble was trained again since.
        """
        from embedkit.classify.heads.store import load_head

        return load_head(self._state.heads_folder, name)

    def names(self) -> list[str]:
        """Return the names of the heads.

        Returns
        -------
        list of str
            Sorted names.
        """
        from embedkit.classify.heads.store import names

        return names(self._state.heads_folder)

    def _load_embedded(self, names: Sequence[str]) -> "list[Head]":
        """Load heads, and embed the images that have no embedding of their backbones."""
        from embedkit.classify.head_checks import backbone_of

        heads = [self.load(name) for name in dict.fromkeys(names)]
        models = {model.spec: model for head in heads for model in head.models}
        backbones = [backbone_of(model, self._embeddings) for model in models.values()]
        self._embeddings.embed_missing(backbones)
        return heads


def load_head(folder: StrPath) -> "Head":
    """Load a head from its folder, without a catalog.

    Parameters
    ----------
    folder : str or path-like
        The folder of a head, such as ``indexes/default/heads/probe``. The members of an ensemble
        are loaded from the folders beside it.

    Returns
    -------
    Head
        The head.

    Raises
    ------
    BadInput
        The folder does not contain a head.
    BadArtefact
        The head is damaged, or a member of the ensemble was trained again since.
    """
    from embedkit.classify.heads.store import MANIFEST
    from embedkit.classify.heads.store import load_head as load

    path = Path(absolute(folder))
    if not (path / MANIFEST).is_file():
        raise BadInput(
            f"{shown(str(folder))} is not the folder of a head: it has no {MANIFEST}; name a "
            "folder below 'heads' in a workspace"
        )
    return load(path.parent, path.name)
