"""The demo products: files that seed an empty store; afterwards the API owns them."""

from pathlib import Path
from typing import Any

import yaml

from channels.templates import NewTemplate, TemplateCatalog
from tracker.catalog import Catalog
from tracker.product import ProductConfig

FOLDER = Path(__file__).parent / "products"


async def seed(catalog: Catalog, templates: TemplateCatalog, folder: Path = FOLDER) -> list[ProductConfig]:
    """Bring in each product of the folder that the store does not have, with its templates; return them all."""
    products = []
    for name, content in read(folder).items():
        config = ProductConfig.model_validate(content["product"])
        if await catalog.live(config.product_id) is None:
            for template in content["templates"]:
                given = NewTemplate.model_validate({**template, "product_id": config.product_id})
                await templates.add(given, by=name)
            await catalog.put(config, author=name)
        products.append(config)
    return products


def first_product(folder: Path = FOLDER) -> str:
    """Return the id of the folder's first product."""
    return str(next(iter(read(folder).values()))["product"]["product_id"])


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each file of a folder says, by file name."""
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))}
