"""The only importer of nats: what the door uses of it, under the names that it uses."""

from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.js import errors as js_errors

__all__ = ["DEFAULT_BUFFER_SIZE", "Client", "Msg", "Srv", "TcpTransport", "errors", "js_errors"]
