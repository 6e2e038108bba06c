"""A shop of three parts that share each visitor's session: Flask on threads, Starlette on the loop, a script.

    container -y shop/shop.tac
"""

import sys
from pathlib import Path

from container import Application, ASGIResource, ResourceScript, Sessions, Site, WSGIResource

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))

from api import app as api
from catalogue import app as catalogue

root = WSGIResource(catalogue, threads=4)
root.mount("api", ASGIResource(api))
root.mount("checkout", ResourceScript(here / "checkout.rpy"))

# One line for all of them. With several workers: Sessions(store=SQLiteStore("var/sessions.db"))
application = Application("shop")
application.serve(Site(root, sessions=Sessions(idle_timeout=1800)), "127.0.0.1:8080")
