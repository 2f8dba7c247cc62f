"""The methods of a workspace that search for photos."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedkit.errors import BadInput
from embedkit.results import Matches
from embedkit.search.queries import Queries, name_of, open_query, stored_photo
from embedkit.search.search import CatalogFiles, SearchFilter, check_count, search
from embedkit.workspace.state import ImageLike, StrPath, WorkspaceBase


class SearchMethods(WorkspaceBase):
    """Search by photo, embedding or text; distances."""

    def search(
        self,
        image: ImageLike | None = None,
        k: int = 10,
        *,
        sha256: str | None = None,
        text: str | None = None,
        backbone: str | None = None,
        max_distance: float | None = None,
        label: str | None = None,
        folder: StrPath | None = None,
        verify: int = 0,
    ) -> Matches:
        """Return the images nearest to a photo, to an embedding or to words.

        Parameters
        ----------
        image : path, bytes, Pillow image or array
            A photo, in the workspace or not: a path, the bytes of an image file, a Pillow image, or
            an RGB array, uint8 of shape (H, W, 3). A 1-D float array of shape (dim,) is an
            embedding of any norm. A photo of the workspace is its own first match, at distance 0.
        k : int, default 10
            The number of images.
        sha256 : str, optional
            Hex digest of a photo of the workspace, in place of an image. Its file is not read,
            unless matches are to be verified.
        text : str, optional
            Words to search for in place of an image; needs a CLIP-like backbone.
        backbone : str, optional
            A backbone that photos were added with. Default: the workspace's first one.
        max_distance : float, optional
            Maximum cosine distance of a match, in [0, 2].
        label : str, optional
            Only files with this label.
        folder : str or path-like, optional
            Only files below this folder.
        verify : int, default 0
            Number of nearest images to compare with the photo point by point and to rank by
            agreement.

        Returns
        -------
        Matches
            A list of :class:`Match`, the nearest first.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        NotInWorkspace
            No file was embedded with the backbone, has the label or is below the folder, or no
            photo has the digest.
        BadInput
            The image cannot be read, or arguments contradict each other.
        """
        if sum(given is not None for given in (image, sha256, text)) != 1:
            raise BadInput("give either an image or a text to search for, or the sha256 of a photo")
        check_count(k)
        check_count(verify, least=0, name="verify")
        if verify and (text is not None or (isinstance(image, np.ndarray) and image.ndim == 1)):
            raise BadInput("only matches of a photo can be verified, not of words or embeddings")
        search_filter = SearchFilter.from_arguments(max_distance, label, folder)
        if text is not None:
            return self._matches(self._embeddings.query_text(backbone, text), k, search_filter)[0]
        if sha256 is not None and not verify:
            queries = self._embeddings.query_stored(backbone, sha256)
            return self._matches(queries, k, search_filter)[0]
        if sha256 is not None:
            image = stored_photo(self._catalog, sha256)
        assert image is not None
        if not verify:
            return self._matches(
                self._embeddings.query_images(backbone, [image]), k, search_filter
            )[0]
        from embedkit.search.verification.photos import verify_first

        photo = open_query(image)
        queries = self._embeddings.query_images(backbone, [photo])
        queries = replace(queries, names=(name_of(image),))
        matches = self._matches(queries, max(k, verify), search_filter)[0]
        verify_first(matches, photo, verify, self._state.features_folder)
        del matches[k:]
        return matches

    def search_many(
        self,
        images: StrPath | Sequence[ImageLike] | np.ndarray,
        k: int = 10,
        *,
        backbone: str | None = None,
        max_distance: float | None = None,
        label: str | None = None,
        folder: StrPath | None = None,
    ) -> list[Matches]:
        """Return the images nearest to each of many queries.

        This is much faster than calling :meth:`search` for each.

        Parameters
        ----------
        images : path, sequence or array
            Queries as :meth:`search` takes them, or embeddings, floats of shape (Q, dim).
        k : int, default 10
            As for :meth:`search`.
        backbone : str, optional
            As for :meth:`search`.
        max_distance : float, optional
            As for :meth:`search`.
        label : str, optional
            As for :meth:`search`.
        folder : str or path-like, optional
            As for :meth:`search`.

        Returns
        -------
        list of Matches
            The matches of each query, in the order of the queries.

        Raises
        ------
        EmptyWorkspace, NotInWorkspace, BadInput
            As for :meth:`search`.
        """
        if isinstance(images, (str, os.PathLike)):
            images = [images]
        queries = self._embeddings.query_images(backbone, list(images))
        return self._matches(queries, k, SearchFilter.from_arguments(max_distance, label, folder))

    def distance(self, first: StrPath, second: StrPath, *, backbone: str | None = None) -> float:
        """Return the cosine distance between two photos, in [0, 2].

        Parameters
        ----------
        first, second : str or path-like
            Photos, in the workspace or not.
        backbone : str, optional
            Backbone of the distance. Default: the workspace's first one; in an empty workspace,
            the default backbone.

        Returns
        -------
        float
            The distance; 0 for photos with the same embedding.

        Raises
        ------
        BadInput
            A photo cannot be read.
        WeightsMissing, BadWeights, UnknownBackbone
            The backbone cannot be loaded.
        """
        from embedkit.index.metric import distances

        one, other = self._embeddings.embed(backbone, [first, second])
        return float(distances(one, other[None])[0])

    def _matches(self, queries: Queries, k: int, search_filter: SearchFilter) -> list[Matches]:
        """Search the index as it was when the queries were made."""
        index = self._embeddings.index_for(queries)
        return search(CatalogFiles(self._catalog), index, queries, k, search_filter)
