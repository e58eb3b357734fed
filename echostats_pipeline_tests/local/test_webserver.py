from pathlib import Path

from echostats_pipeline.local.webserver import answering_webserver, webserver_file, webserver_url
from echostats_pipeline.state_folder import StateFolder


def test_an_address_where_nobody_answers_is_no_ui(tmp_path: Path) -> None:
    assert answering_webserver(tmp_path) is None
    StateFolder(tmp_path).write_json(webserver_file(tmp_path), {"url": "http://127.0.0.1:1"})
    assert webserver_url(tmp_path) == "http://127.0.0.1:1"
    assert answering_webserver(tmp_path) is None
