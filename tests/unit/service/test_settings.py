"""Settings: where they come from, what is refused, how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import pytest

from service.layers import flattened, key_paths
from service.masking import shown, without_password
from service.settings import Settings, configuration, load_settings
from tocsin.errors import SettingsError


def toml(folder: Path, text: str) -> Path:
    file = folder / "given.toml"
    file.write_text(text)
    return file


def refusal(path: Path | None = None, environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as refused:
        configuration(path, environ or {}, flags)
    return str(refused.value)


def test_without_anything_given_every_setting_is_its_default() -> None:
    found = configuration(None, {})
    assert found.settings == Settings()
    assert found.origins == {}


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    file = toml(tmp_path, "[api]\nport = 1\nhost = '10.0.0.1'\nsession_hours = 3.5\n")
    found = configuration(file, {"TOCSIN__API__PORT": "2", "TOCSIN__API__HOST": "10.0.0.2"}, {"api.port": 3})
    assert (found.settings.api.port, found.settings.api.host, found.settings.api.session_hours) == (3, "10.0.0.2", 3.5)
    assert found.origins == {
        "api.port": "flag",
        "api.host": "environment TOCSIN__API__HOST",
        "api.session_hours": f"file {file}",
    }


def test_a_flag_that_was_not_given_changes_nothing(tmp_path: Path) -> None:
    file = toml(tmp_path, "[api]\nport = 1\n")
    assert load_settings(file, {}, {"api.port": None}).api.port == 1


def test_the_file_in_the_data_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "tocsin.toml").write_text("[api]\nport = 4\n")
    assert load_settings(None, {}, {"data": tmp_path}).api.port == 4
    assert load_settings(None, {"TOCSIN__DATA": str(tmp_path)}).api.port == 4


def test_the_file_in_the_data_folder_cannot_point_to_another_data_folder(tmp_path: Path) -> None:
    (tmp_path / "tocsin.toml").write_text("data = '/elsewhere'\n")
    assert refusal(data=tmp_path).startswith("data: cannot be set in")


def test_a_list_in_the_environment_is_json() -> None:
    environ = {"TOCSIN__API__ALLOWED_HOSTS": '["tocsin.example", "other"]'}
    assert load_settings(None, environ).api.allowed_hosts == ("tocsin.example", "other")


def test_text_in_the_environment_is_taken_as_it_is() -> None:
    assert load_settings(None, {"TOCSIN__API__PUBLIC_URL": "12"}).api.public_url == "12"


def test_variables_of_others_are_not_ours() -> None:
    assert load_settings(None, {"TOCSIN_KEY": "x", "TOCSINX__Y": "1"}) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[api]\nprot = 1\n", "api.prot: no such setting (file {file}); did you mean api.port"),
        ("[api]\nprot = 1\n[log]\nlevel = 'info'\n", "api.prot: no such setting"),
        ("[apis]\nport = 1\n", "apis: no such setting (file {file}); did you mean api"),
        ("[log]\nport = 1\n", "log.port: no such setting (file {file}); did you mean api.port"),
        ("api = 3\n", "api: a table, not a value"),
        ("[api.port]\nx = 1\n", "api.port: should be a valid integer"),
        ("[api]\nport = '1'\n", "api.port: should be a valid integer (file {file})"),
        ("[api]\nport = 70000\n", "api.port: 70000 is no port, 0 to 65535 (file {file})"),
        ("[api]\nport = -1\n", "api.port: -1 is not allowed"),
        ("[api]\nbody_s_max = inf\n", "api.body_s_max: inf is not allowed"),
        ("[api]\nbody_s_max = nan\n", "api.body_s_max: nan is not allowed"),
        ("[api]\ndecode_threads = 0\n", "api.decode_threads: has to be at least 1 (file {file})"),
        ("[api]\nallowed_hosts = ['a', 1]\n", "api.allowed_hosts.1: should be a valid string (file {file})"),
        ("[log]\nformat = 'xml'\n", "log.format: should be 'auto', 'json' or 'console' (file {file})"),
        ("[syslog]\ntcp_port = 70000\n", "syslog.tcp_port: 70000 is no port, 0 to 65535"),
        ("[syslog]\nstream = 'a b'\n", "syslog.stream 'a b': "),
        ("[syslog]\nbatch_lines = 0\n", "syslog: batch_lines, "),
        ("[syslog]\nudp_port = 514\nhost = '0.0.0.0'\n", "syslog.tenant: 0.0.0.0 can be reached from the network"),
        ("[syslog]\ntls_port = 6514\n", "syslog.tls_certificate: syslog.tls_port needs one"),
        ("[forward]\ntcp_port = 24224\nhost = '0.0.0.0'\n", "forward.tenant: 0.0.0.0 can be reached from the network"),
        ("[forward]\nlarge_max = 0\n", "forward: batch_lines, "),
        ("[gelf]\nudp_port = 70000\n", "gelf.udp_port: 70000 is no port, 0 to 65535"),
        ("[gelf]\ntls_port = 12202\n", "gelf.tls_certificate: gelf.tls_port needs one"),
        ("[gelf]\nmessage_bytes_max = 0\n", "gelf: batch_lines, "),
        ("[detectors.nov]\nx = 1\n", "detectors.nov: no such detector; there are "),
        ("[detectors.novelty]\nage = 1\n", "detectors.novelty.age: no such setting; there are age_days"),
        ("[detectors.novelty]\nage_days = 'x'\n", "detectors.novelty.age_days: "),
        ("[detectors]\nnovelty = 1\n", "detectors.novelty: "),
        ("[api\n", "{file}: not TOML: "),
        ("[api]\nhost_file = '/nowhere/host'\n", "api.host_file: /nowhere/host cannot be read: No such file"),
        ("[api]\nhost_file = 3\n", "api.host_file: the path of a file is expected"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_key_and_place(tmp_path: Path, text: str, expected: str) -> None:
    file = toml(tmp_path, text)
    assert refusal(file).startswith(expected.format(file=file))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOCSIN__API__PROT", "1", "api.prot: no such setting (environment TOCSIN__API__PROT); did you mean api.port"),
        ("TOCSIN__API__PORT", "many", "api.port: should be a valid integer (environment TOCSIN__API__PORT)"),
        ("TOCSIN__API", "1", "api: a table, not a value (environment TOCSIN__API)"),
        ("TOCSIN__API__PORT__X", "1", "api.port: should be a valid integer"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(name: str, value: str, expected: str) -> None:
    assert refusal(environ={name: value}).startswith(expected)


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"


def test_a_secret_comes_from_a_file_of_its_own_and_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://tocsin:hunter2@db/tocsin\n")
    found = configuration(toml(tmp_path, f"[store]\nurl_file = '{secret}'\n"), {})
    assert found.settings.store.url == "postgresql://tocsin:hunter2@db/tocsin"
    row = next(row for row in shown(found) if row["key"] == "store.url")
    assert "hunter2" not in str(row)
    assert row["value"] == '"***"'


def test_a_shared_key_is_not_shown(tmp_path: Path) -> None:
    found = configuration(toml(tmp_path, "[forward]\nshared_key = 'open sesame'\n"), {})
    assert found.settings.forward.shared_key == "open sesame"
    assert "open sesame" not in str(shown(found))


def test_the_password_in_a_url_is_masked() -> None:
    assert without_password("postgresql://me:p:a@ss@db:5432/x?y=1") == "postgresql://me:***@db:5432/x?y=1"
    assert without_password("http://127.0.0.1:8780/a@b") == "http://127.0.0.1:8780/a@b"
    found = configuration(None, {"TOCSIN__STORE__URL": "postgresql://me:hunter2@db/x"})
    assert not any("hunter2" in row["value"] for row in shown(found))


def test_every_setting_is_shown_with_its_origin() -> None:
    found = configuration(None, {"TOCSIN__DETECTORS__NOVELTY__AGE_DAYS": "3"}, {"api.port": 5})
    rows = {row["key"]: row for row in shown(found)}
    assert rows["api.port"] == {"key": "api.port", "value": "5", "origin": "flag"}
    assert rows["api.host"] == {"key": "api.host", "value": '"127.0.0.1"', "origin": "default"}
    assert rows["detectors.novelty.age_days"]["value"] == "3"
    assert set(rows) >= {path for path in key_paths(Settings) if not path.endswith("*")}


def test_no_setting_of_ours_can_be_changed_after_it_was_read() -> None:
    def check(settings: object) -> None:
        assert type(settings).__dataclass_params__.frozen, type(settings)  # type: ignore[attr-defined]
        for item in fields(settings):  # type: ignore[arg-type]
            if is_dataclass(value := getattr(settings, item.name)):
                check(value)

    check(Settings())


def test_flattening_goes_through_tables_and_keeps_lists() -> None:
    @dataclass(frozen=True)
    class Inner:
        numbers: tuple[int, ...] = (1, 2)

    @dataclass(frozen=True)
    class Outer:
        inner: Inner = Inner()
        name: str = "x"

    assert list(flattened(Outer())) == [("inner.numbers", (1, 2)), ("name", "x")]


def test_the_base_url_follows_the_address_unless_it_is_set() -> None:
    assert load_settings(None, {}, {"api.host": "::1", "api.port": 9}).base_url == "http://[::1]:9"
    assert load_settings(None, {}, {"api.public_url": "https://tocsin.example"}).base_url == "https://tocsin.example"
