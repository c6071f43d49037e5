"""A folder of results in object storage: the files of a case are written here, then stored, the manifest last."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.cases.output_folder import ERRORS, LAYOUT, OutputFolder, begun_output
from pe_nnunet.files.objects import ObjectStore
from pe_nnunet.files.scratch import scratch_above
from pe_nnunet.outputs.case_files import names_of_files
from pe_nnunet.outputs.results_index import INDEX
from pe_nnunet.outputs.writers import WRITERS


@dataclass(frozen=True)
class ObjectOutput(OutputFolder):
    """Results in object storage.

    Attributes:
        root: A folder here that holds the tables of the run, and no case.
        address: Where they and the cases are stored.
    """

    address: str = ""

    @property
    def indexed(self) -> bool:
        """Always, so that no object need be read to know what is there."""
        return True

    @contextmanager
    def writing(self, case_id: str) -> Iterator[Path]:
        """A temporary folder, whose files are stored if the block succeeds; an earlier result goes first."""
        store, manifest = self._store(case_id), f"{case_id}.json"
        with tempfile.TemporaryDirectory(prefix="pe-nnunet-results-", dir=scratch_above()) as name:
            folder = Path(name)
            yield folder
            made = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            store.remove([manifest, *(name for name in self._stored(case_id) if name not in made)])
            for file in sorted(made, key=manifest.__eq__):
                store.put(folder / file, file)

    @contextmanager
    def reading(self, case_id: str) -> Iterator[Path]:
        """A temporary folder into which they are fetched."""
        with tempfile.TemporaryDirectory(prefix="pe-nnunet-results-", dir=scratch_above()) as name:
            self._store(case_id).get(self._stored(case_id), Path(name))
            yield Path(name)

    def _stored(self, case_id: str) -> list[str]:
        """The files of a case that are stored, as paths from its folder."""
        store, folders = self._store(case_id), {writer.folder for writer in WRITERS.values()}
        there = {one.name for folder in folders for one in store.objects(folder, case_id)}
        return [name for name in names_of_files(case_id) if name in there]

    def _store(self, case_id: str) -> ObjectStore:
        """Where the files of a case are stored."""
        return ObjectStore(f"{self.address}/{self.below(case_id)}".rstrip("/"))

    def manifests(self) -> set[str]:
        """See `OutputFolder`; one subfolder after another, as all objects of a large cohort would fill the memory."""
        found: set[str] = set()
        for below in self.subfolders():
            prefix, store = f"{below}/" if below else "", ObjectStore(f"{self.address}/{below}".rstrip("/"))
            found |= {prefix + one.name for one in store.objects() if one.name.endswith(".json")}
        return found

    def has(self, case_id: str, name: str) -> bool:  # noqa: ARG002
        """Taken for granted: to ask for each would take longer than all else, and what was asked for was stored."""
        return True

    def renew(self) -> None:
        """Have the files of the index here that are stored, and no others."""
        store, here = ObjectStore(self.address), self.root / INDEX
        stored = {one.name for one in store.objects(INDEX)}
        for path in here.glob("*.parquet"):
            if f"{INDEX}/{path.name}" not in stored:
                path.unlink()
        store.get([name for name in sorted(stored) if not (self.root / name).is_file()], self.root)

    def publish(self, *names: str) -> None:
        """Store tables of the run that are there, and remove those that are not."""
        store = ObjectStore(self.address)
        for name in names:
            if (self.root / name).is_file():
                store.put(self.root / name, name)
            else:
                store.remove([name])


def begun_object_output(address: str, root: Path, cases: int) -> ObjectOutput:
    """The results at an address, of which the tables are fetched into a folder here.

    Args:
        address: As `require_address` gives it.
        root: An empty folder.
        cases: Of the run, of all its parts.

    Raises:
        ConfigurationError: PE-CLU-022 if the storage does not answer.
    """
    store = ObjectStore(address)
    there = [one.name for starting in (LAYOUT, ERRORS, "part_") for one in store.objects(starting=starting)]
    store.get([name for name in there if name.rpartition("/")[2] in {LAYOUT, ERRORS}], root)
    output = ObjectOutput(root, begun_output(root, cases).digits, address)
    if output.digits and LAYOUT not in there:
        output.publish(LAYOUT)
    output.renew()
    return output
