"""scikit-learn estimators: images to embeddings, and the probe as a classifier of embeddings."""

import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from embedkit._internal.paths import absolute, shown
from embedkit.backbones import load_backbone
from embedkit.backbones.registry import DEFAULT, absolute_name, network_name
from embedkit.catalog import Catalog
from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import L2, RAW
from embedkit.classify.heads.probabilities import softmax
from embedkit.classify.heads.probe.protocol import Protocol
from embedkit.classify.heads.probe.sweep import sweep
from embedkit.errors import BadInput
from embedkit.results import no_progress
from embedkit.search.embedding_store import EmbeddingStore
from embedkit.search.queries import check_unchanged

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone
    from embedkit.images.decode import ImageInput


class EmbeddingTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embed images with a backbone, as a scikit-learn transformer.

    There is nothing to fit. Networks stay open in the process and are shared by clones.

    Parameters
    ----------
    backbone : str, default 'efficientnet_lite0'
        Any name that :func:`embedkit.load_backbone` takes.
    workspace : str or path-like, optional
        Folder of a workspace. Photos that were added to it with this backbone are not embedded
        again, which makes cross-validation fast.

    Attributes
    ----------
    n_features_out_ : int
        Dimension of the embeddings.

    Examples
    --------
    >>> from embedkit import EmbeddingTransformer, ProbeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(EmbeddingTransformer("resnet50"), ProbeClassifier())
    >>> model.fit(paths, labels).predict(new_paths)            # doctest: +SKIP
    """

    def __init__(self, backbone: str = DEFAULT, workspace: "str | Path | None" = None) -> None:
        self.backbone = backbone
        self.workspace = workspace

    def fit(self, X: Any, y: Any = None) -> "EmbeddingTransformer":  # noqa: ARG002, N803
        """Load the backbone.

        Parameters
        ----------
        X : iterable of images
            Not used.
        y : object
            Not used.

        Returns
        -------
        EmbeddingTransformer
            The transformer itself.

        Raises
        ------
        UnknownBackbone, WeightsMissing, BadWeights
            The backbone cannot be loaded.
        """
        self.n_features_out_ = self._network().dim
        return self

    def transform(self, X: "Iterable[ImageInput]") -> np.ndarray:  # noqa: N803
        """Embed images.

        Parameters
        ----------
        X : iterable of images
            Paths, bytes of image files, Pillow images or RGB arrays, uint8 (H, W, 3).

        Returns
        -------
        numpy.ndarray
            float32 (N, dim), L2-normalised.

        Raises
        ------
        UnreadableImage
            An image cannot be read.
        BadInput
            An element is not an image, or the weights of the backbone have changed since the
            photos of the workspace were embedded.
        """
        images = [item.item() if isinstance(item, np.str_) else item for item in X]
        network = self._network()
        if self.workspace is None:
            return network.embed(images)
        for image in images:
            if isinstance(image, np.ndarray) and image.ndim != 3:
                raise BadInput(f"an array {image.shape} is not an RGB image, uint8 (H, W, 3)")
        store = _store(absolute(self.workspace))
        known = {item.name: item for item in store.backbone_snapshot().backbones}
        if network.resolved.name in known:
            check_unchanged(known[network.resolved.name], network)
        return store.embed(self.backbone, images)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:  # noqa: ARG002
        """Return a name for each number of an embedding.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        numpy.ndarray
            Names, object (dim,).
        """
        check_is_fitted(self)
        return np.array([f"embedding{number}" for number in range(self.n_features_out_)], object)

    def _network(self) -> "Backbone":
        name = absolute_name(self.backbone, absolute("."))
        if self.workspace is None or network_name(name) == name:
            return _open(name)
        store = _store(absolute(self.workspace))  # it has the projection
        return store.network(store.resolve(name))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class ProbeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The linear probe of one C, as a scikit-learn classifier of embeddings.

    It is multinomial logistic regression, solved as for ``embedkit train probe``. To select C as
    that command does, search over it with :class:`sklearn.model_selection.GridSearchCV`.

    Parameters
    ----------
    C : float, default 1.0
        Inverse regularisation strength, as in scikit-learn's ``LogisticRegression``, in units of
        1 / (mean squared length of the centred features), so that one value suits any backbone.
    features : {'l2', 'raw', 'standardised'}, default 'l2'
        ``l2`` normalises each row, ``standardised`` also standardises each column.
    balanced : bool, default False
        Whether to give each class the same total weight.
    tol : float, default 1e-6
        A fit has converged when its next step is expected to lower the objective by less than this
        share of it.
    max_iter : int, default 1000
        Maximum number of iterations.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted: (C,).
    coef_ : ndarray
        Weights on the normalised (or raw) rows: float32 (C, dim).
    intercept_ : ndarray
        float32 (C,).
    n_iter_ : int
        Iterations of the fit.
    """

    def __init__(
        self,
        C: float = 1.0,  # noqa: N803
        features: str = L2,
        balanced: bool = False,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ) -> None:
        self.C = C
        self.features = features
        self.balanced = balanced
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> "ProbeClassifier":  # noqa: N803
        """Fit the classifier.

        Parameters
        ----------
        X : array-like
            Embeddings, normalised or not: (N, dim).
        y : array-like
            Classes: (N,).

        Returns
        -------
        ProbeClassifier
            The classifier itself.

        Raises
        ------
        ValueError
            The arrays are not valid, or there is only one class.
        BadInput
            A parameter is not valid.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            The fit has not converged after ``max_iter`` iterations.
        """
        rows, classes = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(classes)
        self.classes_, numbers = np.unique(classes, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"ProbeClassifier needs samples of at least 2 classes; there is one class, "
                f"{self.classes_[0]!r}"
            )
        if self.max_iter < 1:
            raise BadInput(f"max_iter must be 1 or more, not {self.max_iter}")
        protocol = Protocol(
            features=(self.features,),
            grid=(self.C,),
            balanced=self.balanced,
            tolerance=self.tol,
            max_iterations=self.max_iter,
        )
        vectors, norms = _normalised(rows)
        examples = Examples(vectors, norms, numbers.astype(np.int64))
        (fit,) = sweep(examples, len(self.classes_), self.features, protocol)
        self.coef_, self.intercept_ = fit.linear.weights, fit.linear.bias
        self.n_iter_ = fit.iterations
        if not fit.converged:
            warnings.warn(
                f"the fit has not converged after {fit.iterations} iterations; raise max_iter or "
                "tol, or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the score of each class.

        Parameters
        ----------
        X : array-like
            Embeddings: (N, dim).

        Returns
        -------
        numpy.ndarray
            float64 (N, C); of two classes, the score of the second minus that of the first: (N,).
        """
        logits = self._logits(X)
        return np.asarray(logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            Embeddings: (N, dim).

        Returns
        -------
        numpy.ndarray
            float64 (N, C), columns in the order of ``classes_``.
        """
        return softmax(self._logits(X))

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like
            Embeddings: (N, dim).

        Returns
        -------
        numpy.ndarray
            Classes: (N,).
        """
        best = self._logits(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _logits(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        if self.features != RAW:
            rows = _normalised(rows)[0]
        return np.asarray(rows @ self.coef_.T.astype(np.float64) + self.intercept_)


def _normalised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of length 1 and their lengths; a row of zeros stays one."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    largest = np.where(largest > 0, largest, 1.0)  # squares of the quotients cannot overflow
    scaled = rows / largest[:, None]
    norms = np.linalg.norm(scaled, axis=1)
    return scaled / np.where(norms > 0, norms, 1.0)[:, None], norms * largest


@lru_cache(maxsize=4)
def _open(name: str) -> "Backbone":
    return load_backbone(name)


@lru_cache(maxsize=4)
def _store(workspace: str) -> EmbeddingStore:
    """Return the embeddings of a workspace, whose networks stay open."""
    catalog = Catalog(Path(workspace))
    if not catalog.exists:
        raise BadInput(f"{shown(workspace)} is not a workspace with photos; add photos to it first")
    return EmbeddingStore(catalog, no_progress)
