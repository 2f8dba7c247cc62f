"""The methods of a workspace that compare backbones, split the labelled photos and classify."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.errors import BadInput
from embedkit.ingest import labels
from embedkit.results import Comparison, Predictions, Split
from embedkit.workspace.heads import Heads
from embedkit.workspace.state import ImageLike, StrPath, WorkspaceBase


class ClassificationMethods(WorkspaceBase):
    """Compare backbones, split, classify."""

    def compare(
        self,
        backbones: str | Sequence[str] = (),
        *,
        queries: Sequence[StrPath] = (),
        by: str = "label",
        group: str | None = None,
    ) -> Comparison:
        """Compare how well backbones separate the classes of the workspace's photos.

        Images without an embedding of a backbone are embedded first. Folders are not scanned for
        new photos, and later calls of :meth:`add` do not embed with backbones that were only
        compared.

        Parameters
        ----------
        backbones : str or sequence of str, optional
            Default: the recipe's and those known to the workspace.
        queries : sequence of paths, optional
            Photos whose rankings to return, in the workspace or not.
        by : {'label', 'folder'}, default 'label'
            The property that defines the classes.
        group : str, optional
            A column of the label tables, such as the camera, the shop or the photographer, for the
            content score: how often a photo of the same class and another group is nearer than a
            photo of another class and the same group.

        Returns
        -------
        Comparison
            Metrics with intervals, paired tests and rankings.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        BadInput
            There are fewer than two classes, no class has two images, or ``group`` is not a usable
            column. This is checked before anything is embedded.
        WeightsMissing, BadWeights, UnknownBackbone
            A backbone cannot be loaded.
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
        given: StrPath | None = None,
    ) -> Split:
        """Split the labelled images into training, validation and test set, and store the split.

        Copies are always in the same set, and so are two images that are both copies of a third.
        Apart from the arguments, the split depends only on the content and the labels of the
        images. Images with several labels are skipped.

        Parameters
        ----------
        val : int
            Images of each class in the validation set.
        test : int
            Images of each class in the test set.
        seed : int, default 0
            Another seed draws another split.
        group : str, optional
            Column of a label table; images with the same value stay together.
        given : path, optional
            A CSV with the columns ``path`` and ``part`` (train, val or test) that fixes the set of
            some files.

        Returns
        -------
        Split
            Counts, and the leaks that drawing images one by one would have caused.

        Raises
        ------
        BadInput
            There are fewer than two classes, a number is below 1, or the column or CSV is wrong.
        NotInWorkspace
            A path in the CSV is not that of a photo with exactly one label.
        """
        from embedkit.classify.split import SplitOptions, draw_split, prepare_split
        from embedkit.duplicates.find import duplicate_pairs
        from embedkit.duplicates.pair_search import duplicate_options

        self._state.sweep()
        given_sets = {}
        if given is not None:
            given_sets = labels.values_from_csv(self._catalog, Path(absolute(given)), "part")
        group = None if group is None else labels.as_label(group)
        # Raises errors before the search for copies, which may take minutes.
        inputs = prepare_split(self._catalog, SplitOptions(val, test, seed, group), given_sets)
        # The embeddings are needed to find copies.
        self._embeddings.embed_missing([self._embeddings.select(None)])
        index = self._embeddings.index(None)
        pairs = duplicate_pairs(self._catalog, index, duplicate_options(()), self._progress)
        return draw_split(self._catalog, inputs, pairs)

    def last_split(self) -> Split:
        """Return the stored split, and how many of its images are missing or new.

        Returns
        -------
        Split
            Counts of the stored split.

        Raises
        ------
        BadInput
            No split is stored.
        """
        from embedkit.classify.split import read_split

        return read_split(self._catalog)[0]

    def _stored_split(self) -> Split | None:
        """Return the stored split, or None."""
        try:
            return self.last_split()
        except BadInput:
            return None

    def classify(
        self, photos: ImageLike | Iterable[ImageLike], *, head: str, k: int = 3
    ) -> Predictions:
        """Classify photos with a head.

        Parameters
        ----------
        photos : image or sequence of images
            Photos and folders by their paths, in the workspace or not; or bytes of image files,
            Pillow images, or RGB arrays, uint8 (H, W, 3).
        head : str
            Name of a head of the workspace.
        k : int, default 3
            The number of classes to return for each photo.

        Returns
        -------
        Predictions
            The most probable classes, OOD scores and nearest training photos of each photo, and
            the files that could not be read.

        Raises
        ------
        NotInWorkspace
            No head has that name.
        BadInput
            A path does not exist, or the head's backbone has changed.
        """
        return Heads(self._state).load(head).classify(photos, k)
