"""The OpenAPI 3.1 document, made of the declarations that enforce what it says.

Routes and their converters, `require_scope`, `@input`, `@output`, `refuses` and `responds` are all
there is to read: a view states nothing for the document alone but its docstring. APIFlask's own
generator knows neither what a token must be nor any refusal, takes a converter with an argument for
text, and leaves out without a word a schema it cannot read: its command `flask spec` prints ours.
"""

from resource_server.openapi.document import DocumentError, check, document
from resource_server.openapi.views import openapi

__all__ = ["DocumentError", "check", "document", "openapi"]
