"""Settings: a wrong one stops the start with its name and what it wants."""

import itertools
import os
from pathlib import Path

import pytest

from config.settings import PREFIX, Settings, WrongSettings, load


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from outside, no file."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def wrong() -> list[tuple[str, str]]:
    with pytest.raises(WrongSettings) as raised:
        load()
    return [(fault.path, fault.message) for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("name", "value", "wants"),
    [
        ("MONGO_URL", "localhost:27017", "mongodb://host:port/database"),
        ("PUBLIC_URL", "leadline.example.com", "https://leadline.example.com"),
        ("API_KEY", "short", "at least 16 characters"),
        ("SECRET", "short", "16 characters or more"),
        ("SECRET", "a-good-long-secret-of-old, short", "16 characters or more"),
        ("INGEST_SECRET", "short", "at least 16 characters"),
        ("SMTP_URL", "mail.example.com", "smtp[s]://user:pass@host:port"),
        ("SMTP_URL", "http://mail.example.com", "smtp[s]://user:pass@host:port"),
        ("SMTP_URL", "smtp://mail.example.com:99999", "smtp[s]://user:pass@host:port"),
        ("MAIL_FROM", "nobody", "names no mail address"),
        ("RETRY_BASE_SECONDS", "soon", "a valid number"),
        ("RETRY_BASE_SECONDS", "0", "greater than 0"),
        ("PROVIDER_TIMEOUT", "nan", "600"),
        ("PROVIDER_TIMEOUT", "-1", "greater than 0"),
        ("OUTBOUND_URLS", "n8n.example.com/hook", "https://n8n.example.com/webhook"),
        ("OUTBOUND_URLS", "https://fine.example.com/,ftp://x/", "https://n8n.example.com/webhook"),
        ("OUTBOUND_URLS", "https://user:hunter2@n8n.example.com/", "must not contain a user or a password"),
        ("OUTBOUND_SECRET", "short", "at least 16 characters"),
        ("OUTBOUND_ALLOW", "n8n:5678, http://other", "'http://other' is no host, host:port or network"),
        ("LOG", "xml", "'json' or 'text'"),
        ("TWILIO_ACCOUNT_SID", "a" * 34, "AC and 32 hexadecimal digits"),
        ("TWILIO_AUTH_TOKEN", "short", "at least 8 characters"),
        ("TWILIO_WHATSAPP_FROM", "4155238886", "whatsapp:+14155238886"),
        ("TWILIO_API_URL", "twilio.test", "https://leadline.example.com"),
    ],
)
def test_a_wrong_setting_names_itself_and_what_it_wants(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, wants: str
) -> None:
    """Whoever starts the server reads which variable is wrong and how it should look."""
    monkeypatch.setenv(PREFIX + name, value)
    ((path, message),) = wrong()
    assert path == PREFIX + name
    assert wants in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "smtp://mia:hunter#2secret@mail.example.com:25"),
        ("SMTP_URL", "smtp://mia:hunter/2secret@mail.example.com:25"),
        ("MONGO_URL", "mongo://mia:hunter2secret@db"),
        ("API_KEY", "hunter2"),
        ("SECRET", "hunter2"),
    ],
)
def test_a_secret_is_not_echoed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message goes to a terminal or a log, so it holds no piece of a password."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(WrongSettings) as raised:
        load()
    told = f"{raised.value} {raised.value.faults}"
    assert "hunter" not in told
    assert "2secret" not in told


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starts five times to find five mistakes."""
    for name in ("LOG", "API_KEY", "PROVIDER_TIMEOUT"):
        monkeypatch.setenv(PREFIX + name, "x")
    assert {path for path, _ in wrong()} == {"LEADLINE_LOG", "LEADLINE_API_KEY", "LEADLINE_PROVIDER_TIMEOUT"}


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LEADLINE_SMTP_URL=` in a compose file means: off."""
    for name in Settings.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "")
    assert load() == Settings()


def test_an_empty_variable_leaves_the_file_its_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And it stays in the environment, which belongs to others too."""
    (tmp_path / "leadline.toml").write_text('log = "json"')
    monkeypatch.setenv("LEADLINE_LOG", "")
    assert load().log == "json"
    assert os.environ["LEADLINE_LOG"] == ""


def test_an_unset_channel_is_off() -> None:
    """Without any setting everything has a default that works on one machine."""
    settings = load()
    assert (settings.smtp_url, settings.mongo_url, settings.api_key, settings.data) == (None, None, None, Path("data"))
    assert (settings.retry_base_seconds, settings.provider_timeout) == (30, 15)


def test_the_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`leadline.toml` holds what stays, a variable overrides it, an option of the command overrides both."""
    (tmp_path / "leadline.toml").write_text('data = "from-file"\nprovider_timeout = 5\nlog = "json"\n')
    monkeypatch.setenv("LEADLINE_LOG", "text")
    settings = load()
    assert (settings.data, settings.provider_timeout, settings.log) == (Path("from-file"), 5, "text")
    assert load(data=Path("given")).data == Path("given")
    assert load(data=None).data == Path("from-file")


def test_a_wrong_file_is_told_as_such(tmp_path: Path) -> None:
    """A file that is no TOML is named; a wrong value in it is named as the variable would be."""
    (tmp_path / "leadline.toml").write_text("log = = 1")
    with pytest.raises(WrongSettings, match=r"leadline\.toml"):
        load()
    (tmp_path / "leadline.toml").write_text('log = "xml"')
    assert [path for path, _ in wrong()] == ["LEADLINE_LOG"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mongo_ulr", "mongo_ulr is no setting; do you mean mongo_url?"),
        ("LEADLINE_SMTP_URL", "LEADLINE_SMTP_URL is no setting; do you mean smtp_url?"),
        ("colour", "colour is no setting"),
    ],
)
def test_an_unknown_name_in_the_file_is_told(tmp_path: Path, name: str, told: str) -> None:
    """Who misspells a setting would believe that it holds. What it was set to is not echoed."""
    (tmp_path / "leadline.toml").write_text(f'{name} = "smtp://mia:hunter2@mail.example.com"\nlog = "xml"')
    faults = wrong()
    assert ("leadline.toml", told) in faults
    assert {path for path, _ in faults} == {"leadline.toml", "LEADLINE_LOG"}
    with pytest.raises(WrongSettings) as raised:
        load()
    assert f"leadline.toml: {told}" in str(raised.value)
    assert "hunter" not in f"{raised.value} {raised.value.faults}"


def test_settings_stand_in_no_table(tmp_path: Path) -> None:
    """A table of the file is as unknown as a name would be."""
    (tmp_path / "leadline.toml").write_text('[leadline]\nlog = "json"')
    assert wrong() == [("leadline.toml", "leadline is no setting")]


def test_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands around a server may have some of its own."""
    monkeypatch.setenv("LEADLINE_MONGO_ULR", "mongodb://elsewhere")
    assert load() == Settings()


def test_an_address_needs_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are made by putting paths behind it."""
    monkeypatch.setenv("LEADLINE_PUBLIC_URL", "https://leads.example.com/")
    assert load().public_url == "https://leads.example.com"


TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "a-token-of-tests",
    "TWILIO_WHATSAPP_FROM": "+14155238886",
}


@pytest.mark.parametrize("given", [names for n in (1, 2) for names in itertools.combinations(TWILIO, n)])
def test_a_half_given_account_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]) -> None:
    """A WhatsApp channel that silently stays off, or takes no answers, is found too late."""
    for name in given:
        monkeypatch.setenv(PREFIX + name, TWILIO[name])
    faults = wrong()
    assert {path for path, _ in faults} == {PREFIX + name for name in TWILIO.keys() - set(given)}
    assert all("is needed" in message for _, message in faults)


@pytest.mark.parametrize("sender", ["+14155238886", "whatsapp:+14155238886", " whatsapp:+14155238886 "])
def test_the_sender_may_be_written_with_or_without_its_prefix(monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    """Both are what Twilio's console shows."""
    assert load().twilio is None
    for name, value in {**TWILIO, "TWILIO_WHATSAPP_FROM": sender}.items():
        monkeypatch.setenv(PREFIX + name, value)
    twilio = load().twilio
    assert twilio is not None
    assert twilio == (TWILIO["TWILIO_ACCOUNT_SID"], TWILIO["TWILIO_AUTH_TOKEN"], "whatsapp:+14155238886")
