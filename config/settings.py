"""Settings: environment variables with the prefix LEADLINE_, or `leadline.toml` in the working folder."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from channels.email import mailbox, parse_url
from tracker.errors import Fault, LeadlineError

PREFIX = "LEADLINE_"


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


def _mongo_url(url: str) -> str:
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("wants mongodb://host:port/database?replicaSet=name")
    return url


def _secret(value: str) -> str:
    if any(len(part.strip()) < 16 for part in value.split(",")):
        raise ValueError("wants 16 characters or more; several, separated by commas, while it is being changed")
    return value


class Settings(BaseSettings):
    """Every setting and what it wants. Unset means: off, or the default that is shown."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file="leadline.toml", extra="ignore")

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
    default_product: str | None = None
    crm_url: Annotated[str, AfterValidator(_http_url)] | None = None
    crm_token: str | None = None
    n8n_webhook_token: Annotated[str, Field(min_length=16)] | None = None
    log: Literal["json", "text"] = "text"

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


class WrongSettings(LeadlineError):
    """A setting cannot be used; `faults` names each variable and what it wants."""


def load(**given: object) -> Settings:
    """Read the settings. An empty variable counts as unset. Raises: WrongSettings."""
    for name in [name for name, value in os.environ.items() if name.startswith(PREFIX) and not value]:
        del os.environ[name]
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = [
            Fault(PREFIX + "_".join(str(part) for part in e["loc"]).upper(), e["msg"].removeprefix("Value error, "))
            for e in error.errors(include_url=False)
        ]
        raise WrongSettings("; ".join(f"{fault.path}: {fault.message}" for fault in faults), *faults) from error
    except ValueError as error:  # leadline.toml is no TOML
        raise WrongSettings(f"leadline.toml: {error}") from error
