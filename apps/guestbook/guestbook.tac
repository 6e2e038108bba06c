"""A guest book in PHP: php-fpm runs public/index.php for whatever is no file of public/.

    container -y guestbook/guestbook.tac

PHP_FPM says where php-fpm listens, GUESTBOOK where its entries are kept: php-fpm's user must be able to write there.
"""

import os
from pathlib import Path

from container import Application, FastCGIProcessor, Files, Site

public = Path(__file__).resolve().parent / "public"
variables = {"GUESTBOOK": os.environ["GUESTBOOK"]} if "GUESTBOOK" in os.environ else {}

# No more connections than php-fpm has children (pm.max_children): each holds one.
php = FastCGIProcessor(os.environ.get("PHP_FPM", "unix:/run/php/php-fpm.sock"), connections=5, variables=variables)
root = Files(public, index=["index.php"], processors={".php": php}, fallback="index.php")

application = Application("guestbook")
application.serve(Site(root), "127.0.0.1:8080")
