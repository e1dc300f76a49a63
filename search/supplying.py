"""What a driver finds in the store of artefacts when it starts: nothing that is there is made, nothing else counts."""

from __future__ import annotations

from search.consequences import Emit
from search.director import Director
from search.preparation import Making
from trainables.artefact_store import ArtefactError, ArtefactStore


def supply(director: Director, store: ArtefactStore, emit: Emit) -> None:
    """Tell the director which artefacts are there, and which of those that it counts on are there no more.

    One that somebody is making already goes on to be made: its trial finds by itself what the store holds.

    Args:
        director: has taken in the journal.
        emit: writes to the journal.

    Raises:
        StorageError: the store cannot be reached.
    """
    preparation = director.preparation
    for key in preparation.standing(Making.READY):
        if preparation.still_used(key):
            try:
                store.manifest(key)
            except ArtefactError as error:
                director.withdraw(key, str(error))
    for key in preparation.standing(Making.WAITING):
        try:
            director.supply(store.manifest(key), store.of(key))
        except ArtefactError as error:
            if store.of(key).exists():  # something lies there: a person should know that it is of no use
                emit("warning", text=f"an artefact in the store is made again: {error.got}")
