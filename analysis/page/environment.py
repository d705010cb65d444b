"""How templates become pages: everything in them is escaped, and a missing name is an error."""

import jinja2


def environment() -> jinja2.Environment:
    """The templates of `templates/`."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
