"""The methods of a workspace that review its photos."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedkit.errors import BadInput
from embedkit.results import LABELS, OFF_TOPIC, QUALITY, REVIEWS, Review, ReviewImpact
from embedkit.search.embedding_store import full_names
from embedkit.search.search import check_count
from embedkit.workspace.state import WorkspaceBase

if TYPE_CHECKING:
    from embedkit.review.review import Inputs


class ReviewMethods(WorkspaceBase):
    """List wrong labels, photos off-topic and poor photos; the effect of the verdicts."""

    def review(
        self,
        what: str = LABELS,
        k: int | None = None,
        *,
        backbones: str | Sequence[str] = (),
        text: str | None = None,
    ) -> Review:
        """Return the photos that are most probably wrong, the surest first.

        Decide about them with :attr:`verdicts`. Photos with a verdict are not listed again.

        Parameters
        ----------
        what : {'labels', 'off-topic', 'quality'}, default 'labels'
            Wrong labels, from a probe for each backbone that is fitted without the photo that it
            judges; photos that do not belong to the collection, by their neighbours; or blank,
            blurred, dark, over-exposed, tiny and similar photos, by their pixels.
        k : int, optional
            The number of photos to return. Default: at most 50, and only those with a score above
            0, which are more likely wrong than right.
        backbones : str or sequence of str, optional
            Backbones whose embeddings to use; missing embeddings are computed. Default: all that
            photos were added with.
        text : str, optional
            What the photos should show, for ``off-topic``; needs a CLIP-like backbone.

        Returns
        -------
        Review
            The photos with reasons and neighbours, and the estimated number of wrong ones.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added, or no photo is embedded and ``what`` is not ``quality``.
        BadInput
            ``what`` is unknown, ``k`` is below 1, or a review of labels finds fewer than two
            classes.
        """
        from embedkit.review import review as reviews

        if what not in REVIEWS:
            raise BadInput(f"unknown review {what!r}; use {', '.join(REVIEWS)}")
        if k is not None:
            check_count(k)
        if text is not None and what != OFF_TOPIC:
            raise BadInput(
                "text (--text) describes the topic, so it needs the review off-topic (--what)"
            )
        if what == QUALITY:
            if backbones:
                raise BadInput("a review of quality takes no backbones (--backbones)")
            return reviews.review_quality(self._review_inputs((), needs_index=False), k)
        inputs = self._review_inputs(backbones)
        if what == LABELS:
            return reviews.review_labels(inputs, k)
        texts = None
        if text is not None:
            name = inputs.backbones[0].name if inputs.backbones else None
            texts = self._embeddings.query_text(name, text).vectors
        return reviews.review_off_topic(inputs, k, texts)

    def review_impact(self, backbones: str | Sequence[str] = ()) -> ReviewImpact:
        """Return the effect of the verdicts on the classes and on the accuracy of a probe.

        Parameters
        ----------
        backbones : str or sequence of str, optional
            The first one is the backbone of the probe. Default: the workspace's first one.

        Returns
        -------
        ReviewImpact
            Photos of each class before and after, and cross-validated accuracies.

        Raises
        ------
        EmptyWorkspace, BadInput
            As for :meth:`review`.
        """
        from embedkit.review.impact import review_impact

        return review_impact(self._review_inputs(backbones))

    def _review_inputs(self, backbones: str | Sequence[str], needs_index: bool = True) -> "Inputs":
        from embedkit.review.review import Inputs

        self._state.sweep()
        self._catalog.require()
        names = full_names(backbones)
        resolved = [self._embeddings.resolve(name) for name in names]
        if not names and needs_index:
            resolved = list(self._catalog.backbone_snapshot().backbones)
        if resolved:
            self._embeddings.embed_missing(resolved)
        empty = self._embeddings.indexes.empty()
        return Inputs(
            catalog=self._catalog,
            backbones=resolved,
            index=self._embeddings.index_or_empty(None) if needs_index else empty,
            empty=empty,
            features_folder=self._state.features_folder,
            workspace=self._state.folder,
            progress=self._progress,
        )
