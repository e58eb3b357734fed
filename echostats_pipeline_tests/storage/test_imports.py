"""Records of imports and of rejected rows."""

from echostats_pipeline.model.operations import FileImport, ImportReject
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents


def test_a_file_is_there_while_it_is_read_and_complete_afterwards(store: Store) -> None:
    record = FileImport(user_id="u", file_name="a.json", format="extended", started_at=NOW, dagster_run_id="r")
    import_id = store.imports.begin(record)
    (running,) = store.imports.of_run("r")
    assert running.status == "running"
    store.imports.update(import_id, status="completed", rows=3, inserted=3, completed_at=NOW)
    (done,) = store.imports.of_run("r")
    assert done == record.model_copy(
        update={"id": import_id, "status": "completed", "rows": 3, "inserted": 3, "completed_at": NOW}
    )


def test_each_import_of_a_file_is_a_record_of_its_own(store: Store) -> None:
    for _ in range(2):
        store.imports.begin(FileImport(user_id="u", file_name="a.json", format="extended", dagster_run_id="r"))
    assert len(store.imports.of_run("r")) == 2


def test_a_row_rejected_again_is_one_row(store: Store, db: Db) -> None:
    def reject(number: int, reason: str) -> ImportReject:
        return ImportReject(
            user_id="u",
            file_name="a",
            row_number=number,
            reason=reason,
            row={"ts": "$", "a.b": None, "$set": 1, "": []},
            rejected_at=NOW,
        )

    store.imports.keep_rejects([])
    store.imports.keep_rejects([reject(1, "old"), reject(2, "old")])
    store.imports.keep_rejects([reject(1, "new")])
    expected = [reject(1, "new").to_bson(), reject(2, "old").to_bson()]
    assert documents(db, "import_rejects") == sorted(expected, key=repr)
