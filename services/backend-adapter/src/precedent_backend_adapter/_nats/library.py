"""The only importer of nats: what the door uses of it, under the names that it uses."""

from nats import errors
from nats.aio.client import Client, Srv
from nats.js import errors as js_errors

__all__ = ["Client", "Srv", "errors", "js_errors"]
