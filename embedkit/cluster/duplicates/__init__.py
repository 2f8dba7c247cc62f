"""Duplicates of a store: the search of one machine as shuffles between the tasks of a cluster.

::

    number -> place -> candidates by hash      -> score -> merge -> groups -> duplicates.lance
                       candidates by embedding

Images are numbered in the order in which one machine prefers them. They are placed in parts: images
with near embeddings share a part, and an image near the edge of another part visits that part. What
pairs are compared by (hashes, the luma at 16 x 16 and the vector) travels with an image, so that no
photo is opened to find the pairs. What travels to other parts is rounded, and rules most pairs out;
those that are left are compared in full. Only the files of likely copies are opened, to decide.

A result also has the pairs, what was found in the opened files, and the applied verdicts: with
these, the groups that a later verdict is about are formed again without a search.

Everything that a run writes before its result lies in one folder below ``runs``, which the run
removes at its end, or the next run if it was killed.
"""
