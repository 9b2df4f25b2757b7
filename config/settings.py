"""Settings: environment variables with the prefix LEADLINE_, or `leadline.toml` in the working folder."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from channels.email import mailbox, parse_url
from n8n.addresses import allowed
from n8n.addresses import parse as parse_address
from tracker.errors import Fault, LeadlineError

PREFIX = "LEADLINE_"
FILE = "leadline.toml"


def _smtp_url(url: str) -> str:
    try:
        parse_url(url)
    except ValueError:
        url = "#"
    if "#" in url:  # the parser's own words would show a piece of the password
        raise ValueError(
            "wants smtp[s]://user:pass@host:port?starttls=1, with # / ? @ of the password as %23 %2F %3F %40"
        )
    return url


def _mail_from(sender: str) -> str:
    mailbox(sender)
    return sender


def _http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("wants an address such as https://leadline.example.com")
    return url.rstrip("/")


def _account_sid(sid: str) -> str:
    if not re.fullmatch(r"AC[0-9a-fA-F]{32}", sid):
        raise ValueError("wants the account's id, AC and 32 hexadecimal digits")
    return sid


def _whatsapp_from(sender: str) -> str:
    number = sender.strip().removeprefix("whatsapp:")
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise ValueError("wants the sender's number with its country code, such as whatsapp:+14155238886")
    return f"whatsapp:{number}"


def _mongo_url(url: str) -> str:
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("wants mongodb://host:port/database?replicaSet=name")
    return url


def _secret(value: str) -> str:
    if any(len(part.strip()) < 16 for part in value.split(",")):
        raise ValueError("wants 16 characters or more; several, separated by commas, while it is being changed")
    return value


def _listed(text: str) -> list[str]:
    return list(filter(None, (part.strip() for part in text.split(","))))


def _outbound_urls(text: str) -> str:
    for url in _listed(text):
        try:
            parse_address(url)
        except ValueError as error:
            raise ValueError(f"{error} (several, separated by commas)") from None
    return text


def _outbound_allow(text: str) -> str:
    allowed(text)
    return text


class Settings(BaseSettings):
    """Every setting and what it wants. Unset means: off, or the default that is shown."""

    # What is forbidden are unknown names in the file. Of the environment only the known ones are read: others may be
    # meant for what stands around a server.
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, toml_file=FILE, extra="forbid")

    data: Path = Path("data")
    mongo_url: Annotated[str, AfterValidator(_mongo_url)] | None = None
    public_url: Annotated[str, AfterValidator(_http_url)] | None = None
    api_key: Annotated[str, Field(min_length=16)] | None = None
    secret: Annotated[str, AfterValidator(_secret)] | None = None
    ingest_secret: Annotated[str, Field(min_length=16)] | None = None
    smtp_url: Annotated[str, AfterValidator(_smtp_url)] | None = None
    mail_from: Annotated[str, AfterValidator(_mail_from)] = "Leadline <leadline@localhost>"
    retry_base_seconds: Annotated[float, Field(gt=0, le=3600)] = 30
    provider_timeout: Annotated[float, Field(gt=0, le=600)] = 15
    twilio_account_sid: Annotated[str, AfterValidator(_account_sid)] | None = None
    twilio_auth_token: Annotated[str, Field(min_length=8)] | None = None
    twilio_whatsapp_from: Annotated[str, AfterValidator(_whatsapp_from)] | None = None
    twilio_api_url: Annotated[str, AfterValidator(_http_url)] | None = None
    default_product: str | None = None
    crm_url: Annotated[str, AfterValidator(_http_url)] | None = None
    crm_token: str | None = None
    n8n_webhook_token: Annotated[str, Field(min_length=16)] | None = None
    outbound_urls: Annotated[str, AfterValidator(_outbound_urls)] | None = None
    outbound_secret: Annotated[str, Field(min_length=16)] | None = None
    outbound_allow: Annotated[str, AfterValidator(_outbound_allow)] = ""
    log: Literal["json", "text"] = "text"

    @property
    def outbox(self) -> Path:
        """The folder in which a demo writes its messages."""
        return self.data / "outbox"

    @property
    def receivers(self) -> tuple[str, ...]:
        """The addresses that get every outbound event."""
        return tuple(_listed(self.outbound_urls or ""))

    @property
    def twilio(self) -> "Twilio | None":
        """What WhatsApp through Twilio needs, None where it is off."""
        sid, token, sender = self.twilio_account_sid, self.twilio_auth_token, self.twilio_whatsapp_from
        return Twilio(sid, token, sender) if sid and token and sender else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class Twilio(NamedTuple):
    """Attributes: sender: such as `whatsapp:+14155238886`."""

    account_sid: str
    auth_token: str
    sender: str


TOGETHER = ("twilio_account_sid", "twilio_auth_token", "twilio_whatsapp_from")
"""Settings that mean nothing alone."""


class WrongSettings(LeadlineError):
    """A setting cannot be used; `faults` names each variable and what it wants."""


def load(**given: object) -> Settings:
    """Read the settings. An empty variable counts as unset. Raises: WrongSettings."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = [_fault(details) for details in error.errors(include_url=False)]
        raise WrongSettings("; ".join(f"{fault.path}: {fault.message}" for fault in faults), *faults) from error
    except ValueError as error:  # the file is no TOML
        raise WrongSettings(f"{FILE}: {error}") from error
    missing = [name for name in TOGETHER if getattr(settings, name) is None]
    if 0 < len(missing) < len(TOGETHER):
        faults = [
            Fault(PREFIX + name.upper(), "is needed, since other LEADLINE_TWILIO settings are set") for name in missing
        ]
        raise WrongSettings("; ".join(f"{fault.path}: {fault.message}" for fault in faults), *faults)
    return settings


def _fault(details: ErrorDetails) -> Fault:
    name = "_".join(str(part) for part in details["loc"])
    if details["type"] != "extra_forbidden":
        return Fault(PREFIX + name.upper(), details["msg"].removeprefix("Value error, "))
    near = get_close_matches(name.lower().removeprefix(PREFIX.lower()), Settings.model_fields, n=1)
    return Fault(FILE, f"{name} is no setting" + (f"; do you mean {near[0]}?" if near else ""))
