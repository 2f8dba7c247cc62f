"""A store: one collection of photos on shared or object storage, processed by many machines.

::

    listing -> blocks -> [read, digest, decode, embed, write fragments] -> commit
    driver               Ray actors, one for each share of cores or GPU    driver

A store has the same content as the catalog of a workspace, in Lance datasets. Its drivers run on
Ray Data; the functions are those that one machine uses.
"""
